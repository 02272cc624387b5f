"""The windows of a run as a server makes them: what to send, and what to make of the answer."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from stable_restyle.backends.base import BackendCheck, WindowPictures
from stable_restyle.backends.comfyui.canvas import Canvas, canvas
from stable_restyle.backends.comfyui.overrides import WorkflowVariants, changed
from stable_restyle.backends.comfyui.pictures import OtherShape, read_slide
from stable_restyle.backends.comfyui.slides import KEPT, Request, picture_limit, wrong_shape
from stable_restyle.backends.comfyui.texts import describe_prompts
from stable_restyle.backends.comfyui.validate import Classes
from stable_restyle.backends.comfyui.workflow import (
    Workflow,
    describe_pictures,
    fill,
    with_numbers,
    with_seed,
)
from stable_restyle.core.errors import WorkflowFault, cannot_write
from stable_restyle.core.records import (
    BATCHES,
    WINDOW_ROLES,
    Pixels,
    Slide,
    Window,
    WindowJob,
)
from stable_restyle.media import apng, window_folder
from stable_restyle.media.apng import Batch

# Makes the window of a request; entering it returns what fetches the file of a picture.
Make = Callable[[Request], AbstractContextManager[Callable[[int], bytes]]]

_TRIAL_SLIDES = 3  # of the shortest window that has so many, if there is one
_GREY = 128


@dataclass
class Pictures:
    """The pictures of a window on a server. Not thread-safe."""

    count: int
    canvas: Canvas
    workflow: Workflow
    fetch: Callable[[int], bytes]
    on_scaled: Callable[[str], None]
    _shape: tuple[int, ...] = field(default=(), init=False)  # of the first that was read

    def read(self, place: int) -> Slide:
        """Return the picture of a slide, counted from 0. Raises ServerFault, WorkflowFault."""
        return read_slide(self.fetch(place), self._slide_of)

    def __iter__(self) -> Iterator[Slide]:
        return map(self.read, range(self.count))

    def _slide_of(self, answer: Pixels) -> Pixels:
        self._shape = self._shape or answer.shape
        if answer.shape != self._shape:
            (h, w), (height, width) = self._shape[:2], answer.shape[:2]
            raise WorkflowFault(
                f"{self.workflow.name} makes pictures of {w}x{h} and of {width}x{height} in one "
                "window.\nLet its output make one batch, in which all have the same size."
            )
        try:
            return self.canvas.slide_of(answer, self.on_scaled)
        except OtherShape as shape:
            raise WorkflowFault(wrong_shape(self.workflow, shape)) from None


@contextmanager
def draw(
    variants: WorkflowVariants,
    make: Make,
    job: WindowJob,
    classes: Classes,
    on_scaled: Callable[[str], None],
    *,
    keep: bool,
) -> Iterator[WindowPictures]:
    """Have a client make a window; yield its pictures.

    classes: of the server; empty if it does not say. on_scaled: called with both sizes if pictures
    are scaled. keep: whether the server keeps them for good. Raises what the client raises,
    UnusableInput if there is no room for what is sent.
    """
    workflow = variants.windows[job.workflow]
    try:
        on = canvas(workflow, job.size, classes)
    except OtherShape as shape:
        raise WorkflowFault(wrong_shape(workflow, shape)) from None
    with _request(workflow, job, on, keep=keep) as request, make(request) as fetch:
        yield Pictures(len(job.window.slides), on, workflow, fetch, on_scaled)


@contextmanager
def _request(workflow: Workflow, job: WindowJob, on: Canvas, *, keep: bool) -> Iterator[Request]:
    """Yield what a server needs for a window; its batches lie in temporary files."""
    workflow = changed(workflow, job.changes)
    if job.seed is not None:
        workflow = with_seed(workflow, job.seed)
    height, width = on.drawn
    values = {
        "length": job.window.length,
        "width": width,
        "height": height,
        "rate": float(job.rate),
    }
    workflow = with_numbers(workflow, values)
    roles = workflow.roles_for({*job.pictures, *job.batches})
    kept = f"{KEPT}/{job.workflow}-{window_folder.name(job.window.slides)}" if keep else None
    with ExitStack() as stack:
        yield Request(
            {
                role: _batch(role, job, on, stack) if role in BATCHES else _single(role, job, on)
                for role in sorted(roles)
            },
            lambda names: fill(workflow, names, keep=kept),
            workflow.output,
            picture_limit(width, height),
            job.window.length,
        )


def _single(role: str, job: WindowJob, on: Canvas) -> Pixels:
    picture = job.pictures[role]()
    return on.place(picture) if role in WINDOW_ROLES else picture


def _batch(role: str, job: WindowJob, on: Canvas, stack: ExitStack) -> Batch:
    """Write the pictures of a role, one at a time; the last slide is repeated."""
    picture_of, (slides, length) = job.batches[role], (job.window.slides, job.window.length)

    def pictures() -> Iterator[Pixels]:
        for slide in slides:
            picture = on.place(picture_of(slide))
            yield picture
        for _ in range(length - len(slides)):
            yield picture

    try:
        return apng.write(stack.enter_context(tempfile.TemporaryFile()), pictures(), length)
    except OSError as error:
        raise cannot_write(Path(tempfile.gettempdir()), error) from error


def tried_out(
    variants: WorkflowVariants,
    draw_window: Callable[[WindowJob], AbstractContextManager[WindowPictures]],
    check: BackendCheck,
    size: tuple[int, int],
) -> BackendCheck:
    """Return a check with what came of making a short window with each workflow that makes some.

    size: width and height.
    """
    for key, workflow in variants.windows.items():
        job = _trial(key, workflow, size)
        began = time.perf_counter()
        with draw_window(job) as pictures:
            height, width = [each.pixels for each in pictures][-1].shape[:2]
        seconds = time.perf_counter() - began
        loaded = [("picture", each) for each in describe_pictures(workflow)]
        rows = [
            ("workflow", f"{workflow.name} (--{job.workflow.partition('-')[0]})"),
            *loaded,
            *describe_prompts(workflow),
            ("window", f"{job.window.length} pictures of {width}x{height} in {seconds:.1f} s"),
        ]
        check = replace(check, about=[*check.about, *rows])
    return check


def _trial(key: str, workflow: Workflow, size: tuple[int, int]) -> WindowJob:
    """Return a window between two known slides, of the shortest legal length."""
    assert workflow.window is not None
    lengths = workflow.window.lengths
    length = next((each for each in lengths if each >= _TRIAL_SLIDES), lengths[-1])
    slides = range(min(_TRIAL_SLIDES, length))
    ends = {slides[0], slides[-1]}
    ramp = np.linspace(0, 255, size[0]).astype(np.uint8)
    frame = np.broadcast_to(ramp[np.newaxis, :, np.newaxis], (size[1], size[0], 3))
    grey = np.full_like(frame, _GREY)
    return WindowJob(
        Window(slides, length),
        1,
        size,
        Fraction(24),
        frozenset(ends),
        {
            "frames": lambda _: frame,
            "known": lambda slide: frame if slide in ends else grey,
            "known-mask": lambda slide: np.full(size[::-1], 255 * (slide not in ends), np.uint8),
        },
        dict.fromkeys(workflow.roles.difference(BATCHES), lambda: frame),
        workflow=key,
    )
