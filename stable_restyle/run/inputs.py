"""What the pictures of a run depend on: the workflow, and the settings that decide."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.backend import Access, parse_headers
from stable_restyle.backends.comfyui.overrides import WorkflowVariants, apply_overrides
from stable_restyle.backends.comfyui.texts import NEGATIVE_PROMPT, PROMPT, Prompts, with_prompts
from stable_restyle.backends.comfyui.workflow import Workflow, with_seed
from stable_restyle.core.errors import WrongUsage, counted
from stable_restyle.core.records import OF_NEIGHBOUR, Keys, Scene
from stable_restyle.core.settings import FLOW_MASK_STRENGTH, FRAME, WARPED, Settings
from stable_restyle.drawing.pictures import DrawnPictures
from stable_restyle.media import containers
from stable_restyle.media.containers import Encoding
from stable_restyle.media.frames import Frames
from stable_restyle.media.naming import BY_FFMPEG, OWN
from stable_restyle.media.probe import Film
from stable_restyle.motion.choose import choose
from stable_restyle.plan import keyframes, scenes
from stable_restyle.run import drawn, fill, finish, given, only, pictures, prepare
from stable_restyle.run.given import GivenSlide
from stable_restyle.workdir import layout, settings_file
from stable_restyle.workdir.input_file import InputSnapshot
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.settings_file import SettingsSnapshot

NO_MODEL = "no model"  # in settings.json: what draws the slides
FRAMES_UNSURE = 25  # by how much the header of a film may be wrong, at least
FPS_USUAL = 8  # frames per slide; higher values usually mean the film's rate

log = logging.getLogger(__name__)


def load_workflow(settings: Settings) -> tuple[WorkflowVariants, Access]:
    """Return the workflow with its changes, and how servers are reached.

    Raises RestyleError if these, the motion or the keys cannot be used.
    """
    choose(settings.motion)
    _check_keys(settings)
    fill.check(settings)
    only.check(settings)
    drawn.check(settings)
    own = pictures.read(settings.pictures)
    names = {each.name for each in own}
    typed = {PROMPT: settings.prompt, NEGATIVE_PROMPT: settings.negative_prompt}
    prompts = {key: text for key, text in typed.items() if text is not None}
    variants = apply_overrides(
        workflow_file.load(settings.model, names), settings.seed, settings.changes, prompts
    )
    middle = _middle(settings, names, prompts)
    changes = {scene: list(lines) for scene, lines in variants.scene_changes.items()}
    for scene, lines in pictures.scene_lines(own).items():
        changes[scene] = [*changes.get(scene, ()), *lines]
    made = fill.load(settings, names, prompts)
    windows = {fill.FILL: made} if made else {}
    windows |= finish.load(settings, names, prompts)
    variants = replace(
        variants, middle=middle, pictures=own, scene_changes=changes, windows=windows
    )
    pictures.check_names(variants.every, own)
    headers = parse_headers(settings.headers)
    access = Access(
        headers, settings.timeout_s, settings.keep_on_server, settings.api_key, settings.jobs
    )
    return variants, access


def with_guide(settings: Settings, variants: WorkflowVariants, paths: RunPaths) -> Settings:
    """Return settings with a value for --guide.

    Without one, a run goes on as its folder was begun; otherwise it is what suits the motion and
    the pictures that the workflow loads. Raises UnusableInput, WrongUsage.
    """
    if settings.drawn is not None:
        return replace(settings, guide=FRAME)
    follows = {role for each in variants for role in each.roles}.intersection(OF_NEIGHBOUR)
    if settings.guide == FRAME and follows:
        raise WrongUsage(
            f"--guide frame: slides are drawn from their frames alone, but "
            f"{variants.original.name} loads {' and '.join(sorted(follows))}, which needs the "
            "slide before.\nUse --guide warped, or a workflow that does not load it."
        )
    if settings.guide is not None:
        return settings
    suits = FRAME if settings.by_flow and not follows else WARPED
    earlier = {} if settings.fresh else settings_file.read(paths)
    guide = str(earlier.get(settings_file.GUIDE, WARPED)) if earlier else suits
    if guide != suits:
        log.info("Going on with --guide %s, as this run was begun.", guide)
    return replace(settings, guide=guide)


def _middle(settings: Settings, names: AbstractSet[str], prompts: Prompts) -> Workflow | None:
    """Return the workflow of --middle-model; None without."""
    if not settings.middle_model:
        return None
    middle = with_prompts(workflow_file.load(settings.middle_model, names), prompts)
    return middle if settings.seed is None else with_seed(middle, settings.seed)


def run_paths(settings: Settings) -> RunPaths:
    """Return the paths of a run. Raises UnusableInput, WrongUsage."""
    apart = settings.deflicker > 0 or settings.masks_of_part is not None or bool(settings.finish)
    paths = layout.find_paths(settings.source, settings.target, settings.work, drawn_apart=apart)
    encoding(settings, paths)  # checks the options
    drawn.check_folder(settings, paths)
    return paths


def encoding(settings: Settings, paths: RunPaths) -> Encoding | None:
    """Return how the film of a run is written; None if TARGET is a folder. Raises WrongUsage."""
    if paths.result is not None:
        return containers.choose(paths.result, settings.video_codec, settings.crf)
    if settings.video_codec or settings.crf is not None:
        option = "--video-codec" if settings.video_codec else "--crf"
        raise WrongUsage(
            f"{option} is for a TARGET that is a film; {settings.target} is a folder of slides."
        )
    return None


def check_encoding(settings: Settings, paths: RunPaths, source: Film | Frames) -> None:
    """Raise RestyleError if the film of a run cannot be written here, or not at its rate."""
    if paths.result is not None and (its := encoding(settings, paths)) is not None:
        rate = prepare.frame_rate(source, settings.rate) / settings.frames_per_slide
        containers.check(its, paths.result, rate)


def settings_snapshot(
    settings: Settings, variants: WorkflowVariants, engine: str
) -> SettingsSnapshot:
    """Return what the pictures of a run depend on besides its source, as in settings.json."""
    return {
        **_model_snapshot(settings, variants, engine),
        settings_file.GUIDE: settings.guide,
        "mask_strength": settings.mask[0],
        "mask_size": settings.mask[1],
        # Earlier versions mixed both pictures of a pixel here.
        settings_file.MASK_DECIDES: settings.guide == WARPED
        and settings.by_flow
        and settings.mask[0] < FLOW_MASK_STRENGTH,
        "anchor": settings.anchor_share,
        "fps": settings.frames_per_slide,
        "motion": settings.motion,
        "keys": settings.keys,
        "fill_only": settings.fill_only,
        "only": only.restyled(settings),
    }


def _model_snapshot(
    settings: Settings, variants: WorkflowVariants, engine: str
) -> SettingsSnapshot:
    """Return what the model's pictures depend on."""
    if settings.drawn is not None:
        return {"drawn_by": settings_file.PICTURES}
    return {
        "model": variants.original.name,
        "model_sha256": variants.original.sha256,
        "middle_model": variants.middle and variants.middle.name,
        "middle_model_sha256": variants.middle and variants.middle.sha256,
        "pictures": [pictures.in_words(each) for each in variants.pictures if not each.scenes],
        "prompt": settings.prompt,
        "negative_prompt": settings.negative_prompt,
        "seed": settings.seed,
        "set": list(variants.changes),
        "drawn_by": NO_MODEL if needs_no_model(settings) else engine,
    }


def source_snapshot(source: Film | Frames, film: SettingsSnapshot) -> SettingsSnapshot:
    """Return what settings.json says of the source. film: its marks; empty for frames."""
    return {"frame_size": f"{source.width}x{source.height}", **film}


def snapshot_input(
    settings: Settings,
    variants: WorkflowVariants,
    source: Film | Frames,
    frames: Frames,
    bounds: Sequence[int],
    its_given: Mapping[int, GivenSlide],
    keys: Keys | None,
    masks: Frames | None,
    its_drawn: DrawnPictures | None,
) -> InputSnapshot:
    """Return what each slide depends on besides the settings. masks: of --only.

    Raises WrongUsage.
    """
    roles = {role for each in variants for role in each.roles}
    of_all = {role for each in variants.every for role in each.roles}
    made = variants.windows.get(fill.FILL)
    found = scenes.find_scenes(bounds, settings.frames_per_slide, its_given)
    rate = prepare.frame_rate(source, settings.rate)
    values = variants.slide_changes(found, settings.frames_per_slide, frames.count, rate)
    return InputSnapshot(
        marks=_joined_marks(
            frames.marks[: bounds[-1]], masks, its_drawn, settings.frames_per_slide
        ),
        bounds=bounds,
        changes=variants.scene_changes,
        keys=keys,
        values=values,
        given={slide: each.mark for slide, each in its_given.items()},
        film_middle=found[0].middle if "film" in of_all and its_drawn is None else None,
        has_answers=settings.is_composed and its_drawn is None,
        is_composed=settings.is_composed,
        middle_first="middle" in roles,
        middle_differs=variants.middle is not None,
        fill=made.sha256 if made else "",
        fill_name=made.name if made else "",
        frame_names=frames.names,
    )


def _joined_marks(
    marks: Sequence[str],
    masks: Frames | None,
    its_drawn: DrawnPictures | None,
    frames_per_slide: int,
) -> Sequence[str]:
    """Return the marks of frames; those that slides show have those of their pictures added."""

    def joined(frame: int, mark: str) -> str:
        slide, beside = divmod(frame, frames_per_slide)
        if beside:
            return mark
        parts = [mark]
        if masks is not None:
            parts.append(masks.marks[frame])
        if its_drawn is not None:
            parts.append(its_drawn.mark(slide))
        return "+".join(parts)

    return [joined(frame, mark) for frame, mark in enumerate(marks)]


def result_snapshot(
    settings: Settings,
    variants: WorkflowVariants,
    engine: str,
    decided: SettingsSnapshot,
    film: SettingsSnapshot,
) -> SettingsSnapshot:
    """Return all that the result of a run depends on besides its frames and scenes.

    film: its marks; empty if SOURCE is a folder of frames.
    """
    marks = {name: value for name, value in film.items() if name != settings_file.FILM_TIME}
    film_options = {"video_codec": settings.video_codec, "crf": settings.crf}
    given: dict[str, object] = {
        name: value for name, value in film_options.items() if value is not None
    }
    now = {**decided, **marks, "deflicker": settings.deflicker, "rate": str(settings.rate)}
    if settings.finish:
        given["finish"] = finish.digests(variants, engine, ())
    return {**now, **given}  # earlier versions had none of these


def check_scenes(settings: Settings, variants: WorkflowVariants, found: Sequence[Scene]) -> None:
    """Raise WrongUsage if options name scenes or pictures that the film does not have."""
    if unknown := [scene for scene in variants.scene_changes if scene > len(found)]:
        raise WrongUsage(
            f"--set, --picture: there is no scene {', '.join(map(str, unknown))}; the film has "
            f"{len(found)}, as --dry-run shows."
        )
    its_only, draws = settings.masks_of_part is not None, settings.drawn is None
    pictures.check_roles(variants, found, only=its_only, draws=draws)


def _check_keys(settings: Settings) -> None:
    """Raise WrongUsage if --keys or --fill-only cannot be used."""
    if settings.keys > 1 and not settings.by_flow:
        raise WrongUsage(
            f"--keys {settings.keys}: slides between keys are filled by optical flow.\n"
            f"Write --motion flow or flow:fast in place of --motion {settings.motion}."
        )
    if settings.fill_only and settings.keys == 1 and settings.given is None:
        raise WrongUsage(
            "--fill-only says how to fill slides between keys: add --keys K, or --given DIR."
        )
    if settings.fill_only and not settings.by_flow:
        raise WrongUsage(
            "--fill-only: slides are filled by optical flow.\n"
            f"Write --motion flow or flow:fast in place of --motion {settings.motion}."
        )


def given_slides(settings: Settings, source: Film | Frames) -> Mapping[int, GivenSlide]:
    """Return the slides of --given. Raises WrongUsage, UnusableInput."""
    names = OWN if isinstance(source, Film) else source.names
    found = given.find(settings.given, _most_frames(source), settings.frames_per_slide, names)
    given.check_sizes(found, source.width, source.height)
    return found


def check_before_split(
    settings: Settings, variants: WorkflowVariants, source: Film | Frames
) -> None:
    """Raise RestyleError for what cannot be used, as far as the film's header shows."""
    given.check_contents(given_slides(settings, source))
    if (masks := only.look(settings)) is not None:
        only.check_size(settings, masks, source)
        only.check_count(settings, _most_frames(masks), _fewest_frames(source))
    if (its_drawn := drawn.look(settings)) is not None:
        drawn.check_before_split(settings, _most_frames(its_drawn), _fewest_frames(source))
    rate = prepare.frame_rate(source, settings.rate)
    for change in variants.timed:
        change.check_begins_within(_most_frames(source), rate)


def _most_frames(source: Film | Frames) -> int:
    """Return how many frames there are; of a film, whose header may be wrong, how many may be."""
    if not isinstance(source, Film):
        return source.count
    return source.frames + max(source.frames // 50, FRAMES_UNSURE)


def _fewest_frames(source: Film | Frames) -> int:
    """Return how many frames there are; of a film, how many there are at least."""
    header = source.frames if isinstance(source, Film) else source.count
    return 2 * header - _most_frames(source)


def keyframe_kind(
    settings: Settings, variants: WorkflowVariants, slides: Collection[int]
) -> keyframes.Kind | None:
    """Return which slides go to the model; None if all do. slides: the given ones."""
    if settings.keys == 1 and not settings.fill_only:
        return None
    its_given, longest = tuple(sorted(slides)), fill.longest(variants)
    return keyframes.Kind(settings.keys, settings.fill_only, its_given, longest)


def needs_no_model(settings: Settings) -> bool:
    """Return whether all slides are made from pictures of the user's."""
    return settings.drawn is not None or (settings.given is not None and settings.fill_only)


def explain_fps(source: Film | Frames, frames_per_slide: int) -> None:
    """Log what --fps means if the film's rate seems to be meant."""
    if frames_per_slide > FPS_USUAL:
        frames = source.frames if isinstance(source, Film) else source.count
        log.info(
            "--fps %d is how many frames make a slide, not the rate of the film: %s make %s. "
            "To keep the rate of the film, write --fps 1.",
            frames_per_slide,
            counted(frames, "frame"),
            counted(scenes.slide_count(frames, frames_per_slide), "slide"),
        )


def explain_tone(source: Film | Frames) -> None:
    """Log that the tone of frames which FFmpeg decodes is as it gives it."""
    if not isinstance(source, Film) and source.names.ending in BY_FFMPEG:
        log.info(
            "Frames that end in %s are taken as FFmpeg decodes them, without tone mapping: "
            "logarithmic ones look flat, linear ones dark. Convert them first if that is not what "
            "you want.",
            source.names.ending,
        )
