"""A list of films: how its lines are read, what is refused, what is drawn, passed over and told."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner
from support import clips
from support.comfy_server import ComfyServer, Run
from support.programs import COMMAND, LONGEST_S, Program, until, video_restyle
from support.runs import Silent, files

from stable_restyle.cli import main
from stable_restyle.core import files as its_files
from stable_restyle.core import shell
from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.progress import DRAWING, Progress
from stable_restyle.core.settings import Settings
from stable_restyle.media import png
from stable_restyle.run import batch, pipeline, status
from stable_restyle.run.pipeline import Outcome

MakeFrames = Callable[..., Path]


@pytest.fixture
def shelf(make_frames: MakeFrames, tmp_path: Path) -> Path:
    """A list of a folder into a folder, and of a film into a film."""
    make_frames(5, name="one")
    clips.make(tmp_path / "two two.mp4", clips.scenes(6, 4))
    path = tmp_path / "films.txt"
    path.write_text(
        "# The first reel.\n\n"
        "one  one-clay/out  # a folder\n"
        '"two two.mp4" two.mp4 -- --fps 1 --backend preview:anime\n'
    )
    return path


def run(path: Path, **common: object) -> list[Outcome]:
    """Run a list whose names are in its folder; returns what was done."""
    outcomes: list[Outcome] = []
    batch.run(entries(path, **common), Silent(), outcomes.append)
    return outcomes


def entries(path: Path, **common: object) -> list[batch.Entry]:
    def settle(source: str, target: str, own: Sequence[str]) -> Settings:
        given = dict(zip(own[::2], own[1::2], strict=True))
        frames_per_slide, backend = (
            int(given.get("--fps", 2)),
            given.get("--backend", "preview:clay"),
        )
        folder = path.parent
        made = Settings(
            folder / source, folder / target, frames_per_slide=frames_per_slide, backends=(backend,)
        )
        return replace(made, **common)  # type: ignore[arg-type]

    return batch.read(path, settle)


def test_every_film_of_the_list_is_restyled(shelf: Path) -> None:
    done = video_restyle("--batch", shelf, "--backend", "preview:clay", folder=shelf.parent)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Film 1 of 2: one -> one-clay" in done.stderr
    assert "Done: 10 slides, all of them new, in two.mp4" in done.stderr
    assert len(files(shelf.parent / "one-clay" / "out")) == 3
    settings = shelf.parent / "two.restyle" / "interp" / "settings.json"
    assert json.loads(settings.read_text())["drawn_by"] == "preview:anime"


def test_finished_films_are_passed_over(shelf: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert [outcome.slides for outcome in run(shelf)] == [3, 10]
    film = shelf.parent / "two.mp4"
    stamp = film.stat().st_mtime_ns
    with caplog.at_level("INFO"):
        assert run(shelf) == []
    assert film.stat().st_mtime_ns == stamp
    assert "two.mp4 is finished." in caplog.text


@pytest.mark.parametrize(
    ("lost", "drawn"),
    [
        ("two.mp4", 0),
        ("two.restyle/out/000003.png", 1),
        ("two.restyle/interp/frames.json", 0),
        ("two.restyle/interp/finished.json", 0),
    ],
)
def test_a_film_is_finished_only_while_all_of_it_is_there(
    shelf: Path, lost: str, drawn: int
) -> None:
    run(shelf)
    its_files.remove_folder(path) if (path := shelf.parent / lost).is_dir() else path.unlink()
    assert [outcome.drawn for outcome in run(shelf)] == [drawn]
    assert (shelf.parent / "two.mp4").exists()
    assert run(shelf) == []


def test_a_film_is_finished_only_while_nothing_has_changed(shelf: Path) -> None:
    run(shelf)
    folder = shelf.parent
    slide = folder / "one-clay" / "out" / "000002.png"
    png.write(slide, 255 - png.read(slide))
    assert [outcome.slides for outcome in run(shelf)] == [3]
    frame = folder / "one" / "000003.png"
    png.write(frame, 255 - png.read(frame))
    with pytest.raises(batch.FilmsMissing, match=r"were made of something else") as told:
        run(shelf)
    assert told.value.exit_code == UnusableInput.exit_code
    assert len(run(shelf, fresh=True)) == 2
    assert [outcome.drawn for outcome in run(shelf, deflicker=1)] == [0, 0]
    with pytest.raises(batch.FilmsMissing, match="2 of 2 films are not finished"):
        run(shelf, seed=5)


def test_a_run_that_is_at_work_is_not_finished(shelf: Path) -> None:
    settings = entries(shelf)[0].settings
    pipeline.run(settings, Silent())
    assert status.is_finished(settings)
    (settings.target / "000002.png").unlink()
    frame = settings.source / "000002.png"
    frame.write_bytes(frame.read_bytes()[:-20])
    with pytest.raises(UnusableInput):
        pipeline.run(settings, Silent())
    assert not status.is_finished(settings)


def test_a_film_that_fails_leaves_the_others_alone(shelf: Path) -> None:
    shelf.write_text("one a/out\n" + shelf.read_text().replace("one  ", "bad "))
    (shelf.parent / "bad").mkdir()
    done = video_restyle("--batch", shelf, "--backend", "preview:clay", folder=shelf.parent)
    assert done.returncode == 3
    assert "1 of 3 films is not finished:\n" in done.stderr
    assert f"{shelf}, line 4, one-clay{os.sep}out: There are no frames in bad" in done.stderr
    assert (shelf.parent / "two.mp4").exists() and len(files(shelf.parent / "a" / "out")) == 3
    assert "Traceback" not in done.stderr


def test_failures_of_several_kinds_exit_with_1(shelf: Path, tmp_path: Path) -> None:
    path = tmp_path / "one" / "000005.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + b"?" * 20 + whole[80:])
    (tmp_path / "a" / "interp").mkdir(parents=True)
    (tmp_path / "a" / "interp" / "scenes.json").write_text("[0, 5]")
    shelf.write_text("one a/out\none b/out -- --backend http://127.0.0.1:9\n")
    with pytest.raises(batch.FilmsMissing) as told:
        run(shelf)
    assert told.value.exit_code == 1
    assert "1 of 3 slides is missing" in str(told.value)
    assert "No backend can draw" in str(told.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("one", "expected a source and a target, found 1 name."),
        ("one two three", "found 3 names"),
        ('"one out', "a quotation mark is not closed"),
        ("one out -- --fps 0", "Invalid value for '--fps'"),
        ("one out -- --check", "No such option"),
        ("one out -- --help", "No such option"),
        ("one out -- --redo 3", "No such option"),
        ("one out -- more", "unexpected extra argument"),
        ("one out -- --keys 3 --motion codec", "Write --motion flow"),
        ("one out -- --motion no-such-program", "there is no such program"),
        ("one out -- --backend ftp://x", "there is no such backend"),
        ("one out -- --model no.json", "no.json"),
        ("none out", "There is no none"),
        ("one one", "SOURCE and TARGET are both"),
        ("one one-clay/out", "is written by films.txt, line 3 too"),
        ("one two.restyle/out -- --work w", "is written by films.txt, line 4 too"),
        ("one out -- --work one-clay/interp", "is written by films.txt, line 3 too"),
    ],
)
def test_a_bad_line_is_refused_before_any_work(
    shelf: Path, line: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf.parent)
    shelf.write_text(f"{shelf.read_text()}{line}\nnone at all\n")
    before = sorted(shelf.parent.rglob("*"))
    ended = CliRunner().invoke(main.command, ["--batch", "films.txt", "--backend", "preview"])
    assert isinstance(ended.exception, WrongUsage)
    told = str(ended.exception)
    assert "films.txt, line 5: " in told and reason in told.replace("\n    ", "\n")
    assert "films.txt, line 6: expected a source and a target, found 3" in told
    assert sorted(shelf.parent.rglob("*")) == before


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"\xff\xfe", None])
def test_a_list_without_films_is_refused(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "films.txt"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises((WrongUsage, UnusableInput), match=r"films\.txt"):
        entries(path)


@pytest.mark.parametrize("more", [("in",), ("--check",), ("--redo", "3"), ("--dry-run",)])
def test_a_list_goes_with_runs_alone(more: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(main.command, ["--batch", "films.txt", *more])
    assert ended.exit_code == 2 and "--batch" in ended.output


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b", ["a", "b"]),
        ("  # it's nothing", []),
        (
            "a#1 'b c' -- --set '6.text=a \"b\"' # it's",
            ["a#1", "b c", "--", "--set", '6.text=a "b"'],
        ),
        ('"#a"  ""  #', ["#a", ""]),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell's words")
def test_words_of_a_line(line: str, words: list[str]) -> None:
    assert batch.words(line) == words


def test_words_of_a_line_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "IS_WINDOWS", True)
    assert batch.words(r'D:\films\one.mp4 "E:\my clay\one.mp4" it\'s # no') == [
        r"D:\films\one.mp4",
        r"E:\my clay\one.mp4",
        r"it\'s",
    ]


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_ends_the_batch_and_the_next_one_goes_on(shelf: Path) -> None:
    folder = shelf.parent
    with ComfyServer() as server:
        server.runs.extend([Run()] * 4 + [Run(seconds=math.inf)] * 2)
        shelf.write_text("one a/out\none b/out\n")
        command = [*COMMAND, "--batch", str(shelf), "--backend", server.url]
        with Program(command, cwd=folder, stderr=subprocess.PIPE) as process:
            # Not a slide: its answer may come after others, which never do.
            until(lambda: any((folder / "b").glob("interp/answers/*.png")), process)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=LONGEST_S)
        assert process.returncode == 130
        assert "run the command again to continue" in said and "Traceback" not in said
        server.runs.clear()
        done = video_restyle(*command[3:], folder=folder)
    assert done.returncode == 0
    assert f"Film 1 of 2: a{os.sep}out is finished." in done.stderr
    assert re.search("(2|all) of them new", done.stderr)  # the slide of that answer may be missing


def test_the_next_film_begins_while_the_last_slide_of_the_first_is_drawn(shelf: Path) -> None:
    folder = shelf.parent
    with ComfyServer() as server:
        server.runs.extend([Run(), Run(), Run(seconds=math.inf)])
        shelf.write_text("one a/out\none b/out -- --seed 7\n")
        command = [*COMMAND, "--batch", str(shelf), "--backend", server.url]
        with Program(command, cwd=folder) as process:
            until(lambda: server.prompts_run + len(server.pending) > 3, process)
            assert not (folder / "a" / "interp" / "finished.json").exists()


@pytest.mark.parametrize(
    ("option", "together"), [("--fps", True), ("--model", False), ("--finish", False)]
)
def test_films_of_other_models_are_not_drawn_at_the_same_time(
    option: str, together: bool, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server would load the models of each for every slide."""
    begun: list[Path] = []
    most = started = 0

    def run_one(settings: Settings, progress: Progress, _: object, dry: Event) -> Outcome:
        nonlocal most, started
        begun.append(settings.target)
        started += 1
        progress.begin(DRAWING, 9, 0, "slide")
        dry.set()
        for _ in range(40):
            most = max(most, len(begun))
            if together:
                until(lambda: started == 2)
            progress.advance(0)
            time.sleep(0.001)
        progress.end()
        begun.remove(settings.target)
        return Outcome(9, 9, settings.target)

    monkeypatch.setattr(batch, "TICK_S", 0.001)
    monkeypatch.setattr(pipeline, "run", run_one)
    found = entries(shelf)
    if option == "--model":
        other = replace(found[1].settings, model="anime.json")
        found[1] = replace(found[1], settings=other)
    if option == "--finish":
        found = [replace(f, settings=replace(f.settings, finish=("a.json",))) for f in found]
    batch.run(found, Silent(), lambda _: None)
    assert most == (2 if together else 1)
