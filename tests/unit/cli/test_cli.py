"""The commands as a user types them: exit codes, messages, signals."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support import clips
from support.programs import COMMAND, LONGEST_S, Program, until, video_restyle

from stable_restyle.cli import console, help, main, types
from stable_restyle.core.errors import UnusableInput
from stable_restyle.media import png
from stable_restyle.run import pipeline

MakeFrames = Callable[..., Path]

PREVIEW = ("--backend", "preview")


def slides(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def test_in_becomes_out(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(5, 4)
    done = video_restyle(
        *("--model", "claymation.json", "--mask-strength", 2, "--fps", 2, *PREVIEW),
        folder=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "Done: 5 slides, all of them new, in out" in done.stderr
    report = f"Report: {Path('interp', 'report.html')} "
    assert re.search(rf"{re.escape(report)}\((no jumps|\d jumps?: slides .*)\)\n$", done.stderr)
    assert len(slides(tmp_path / "out")) == 5
    made = {path.name for path in (tmp_path / "interp").iterdir()}
    assert made - {"lock"} == {  # on Windows it goes with its process
        "answers",
        "finished.json",
        "input.json",
        "journal.jsonl",
        "report",
        "report.html",
        "scenes.json",
        "settings.json",
    }


def test_a_report_is_made_and_slides_are_drawn_again(
    make_frames: MakeFrames, tmp_path: Path
) -> None:
    make_frames(5, 4)
    assert video_restyle("--report", folder=tmp_path).returncode == 3
    assert video_restyle(*PREVIEW, folder=tmp_path).returncode == 0
    page = tmp_path / "interp" / "report.html"
    page.unlink()
    done = video_restyle("--report", folder=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, str(page.relative_to(tmp_path)))
    assert page.exists()
    before = slides(tmp_path / "out")
    done = video_restyle(*PREVIEW, "--redo", "4-5", folder=tmp_path)
    assert "Done: 5 slides, 2 of them new, in out" in done.stderr
    after = slides(tmp_path / "out")
    assert [name for name in before if before[name] != after[name]] == ["000004.png", "000005.png"]
    assert video_restyle(*PREVIEW, "--redo", "6", folder=tmp_path).returncode == 2


def test_backends_from_the_environment(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(2)
    assert video_restyle(folder=tmp_path, backends="preview, preview").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--mask-strength", "nan"),
        ("--mask-strength", "8.1"),
        ("--mask-size", "-1"),
        ("--fps", "0"),
        ("--rate", "1/0"),
        ("--rate", "fast"),
        ("--seconds", "2"),
        ("--seconds", "2", "--dry-run"),
        ("--redo-chain",),
        ("--redo", "3", "--fresh"),
        ("--redo", "3", "--report"),
        ("--no-such-option",),
        ("one", "two", "three"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main.command, arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output


def test_unusable_input(make_frames: MakeFrames, tmp_path: Path) -> None:
    assert video_restyle(*PREVIEW, folder=tmp_path).returncode == 3
    (make_frames(4) / "000003.png").unlink()
    done = video_restyle(*PREVIEW, folder=tmp_path)
    assert done.returncode == 3
    assert f"\nError: in{os.sep}000003.png is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_with_slides_missing_says_so(make_frames: MakeFrames, tmp_path: Path) -> None:
    frames = make_frames(4, 4)
    (tmp_path / "interp").mkdir()
    (tmp_path / "interp" / "scenes.json").write_text("[0, 4, 8]")
    path = frames / "000005.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + b"broken" + whole[56:])
    done = video_restyle(*PREVIEW, folder=tmp_path)
    assert done.returncode == 1
    assert "1 of 4 slides is missing:\n  scene 2, slide 3: " in done.stderr
    assert len(slides(tmp_path / "out")) == 3


def test_a_dry_run_tells_scenes_and_time(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(8, 5)
    done = video_restyle(
        *("in", "out", "--dry-run", "--seconds", 2, "-q"),
        folder=tmp_path,
        backends="http://a:8188,http://b:8188",
    )
    assert done.returncode == 0
    assert [line.split() for line in done.stdout.splitlines()[2:4]] == [
        ["1", "1-8", "1-4", "3", "2,", "1"],
        ["2", "9-13", "5-7", "6", "1,", "1"],
    ]
    assert "2 scenes; all slides can be drawn at once." in done.stdout
    assert "Drawing takes about 0:00:08 on these backends." in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_dry_run_needs_no_backend(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(3)
    assert video_restyle("--dry-run", folder=tmp_path).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode there")
def test_names_that_are_no_unicode(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(2)
    odd = os.fsdecode(b"f\xfframes")
    (tmp_path / "in").rename(tmp_path / odd)
    done = video_restyle(odd, "--dry-run", folder=tmp_path)
    assert done.returncode == 0 and "rames: 2 frames" in done.stdout
    assert video_restyle(odd, "sl\udcffides", *PREVIEW, folder=tmp_path).returncode == 0
    assert video_restyle("\udcff", folder=tmp_path).returncode == 3


def test_measuring_tells_a_table(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(4, 1)
    refused = video_restyle("--measure", folder=tmp_path)
    assert refused.returncode == 3 and "There is no run to measure" in refused.stderr
    assert video_restyle("--fps", 1, *PREVIEW, folder=tmp_path).returncode == 0
    done = video_restyle("--measure", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    _, _, first, second, whole, _, *meanings = done.stdout.splitlines()
    assert first.split()[:2] == ["1", "1-4"] and "-" not in first.split()[2:]
    assert second.split()[:-1] == ["2", "5-5", *"--------"]
    assert whole.split()[:3] == ["all", "5", "slides"]
    assert any("mean square" in line for line in meanings)


ODD_NAMES = [
    "with spaces and 'quotes\"",
    "-y",
    "100%06d%%",
    "concat:a|b",
    "new\nline",
    "not utf-8 \udcff\udcfe",
    "*[?]$HOME `id`",
    "%TEMP% [ünïcödé] 影片 $HOME",
]


@pytest.mark.parametrize(
    "name",
    [*ODD_NAMES[:3], *(pytest.param(name, marks=pytest.mark.long) for name in ODD_NAMES[3:])],
    ids=ascii,
)
def test_a_name_is_a_name_from_end_to_end(
    make_folder: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """A film into a film, then its frames into a folder, all of them called so."""
    work = make_folder(name)
    film = clips.make(tmp_path / "film.mp4", clips.scenes(4))
    film.rename(work / f"{name}.mp4")
    keep = (*PREVIEW, "--keep-frames")
    done = video_restyle(*keep, "--", f"{name}.mp4", f"{name}+.mp4", folder=work)
    assert done.returncode == 0, done.stderr
    (work / f"{name}+.restyle" / "in").rename(work / name)
    done = video_restyle(*PREVIEW, "--", name, f"{name} out", folder=work)
    assert done.returncode == 0, done.stderr
    assert slides(work / f"{name} out") == slides(work / f"{name}+.restyle" / "out")
    assert sorted(os.listdir(tmp_path)) == [name]
    made = {f"{name}.mp4", f"{name}+.mp4", f"{name}+.restyle", name, f"{name} out", "interp"}
    assert set(os.listdir(work)) == made


def test_quiet_says_nothing(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(2)
    done = video_restyle("-q", *PREVIEW, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("error", [None, UnusableInput("in is empty.")])
def test_quiet_says_what_another_thread_warned_of_last(
    make_frames: MakeFrames,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception | None,
) -> None:
    """Before the error that it may explain; the main thread does not look again."""

    def warn_late(*_: object) -> pipeline.Outcome:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(logging.getLogger("stable_restyle.some").warning, "it is late").result()
        if error:
            raise error
        return pipeline.Outcome(1, 1, Path("out"))

    make_frames(2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "run", warn_late)
    monkeypatch.setattr(sys, "argv", ["video-restyle", "-q"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with suppress(SystemExit):
        main.main()
    said = capsys.readouterr().err.splitlines()
    assert said == ["Warning: it is late", *([f"Error: {error}"] if error else [])]


@pytest.mark.parametrize(
    "after", [1, *(pytest.param(number, marks=pytest.mark.long) for number in (0, 4))]
)
def test_a_killed_run_is_resumed_to_the_same_slides(
    make_frames: MakeFrames, tmp_path: Path, after: int
) -> None:
    make_frames(16, 14)
    assert video_restyle("in", "whole/out", *PREVIEW, folder=tmp_path).returncode == 0
    out = tmp_path / "out"
    with Program([*COMMAND, *PREVIEW], cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        until(lambda: len(slides(out)) >= after and (tmp_path / "interp").exists(), process)
        process.kill()
    for path in out.glob("*.png"):
        png.read(path)
    assert video_restyle(*PREVIEW, folder=tmp_path).returncode == 0
    assert slides(out) == slides(tmp_path / "whole" / "out")
    assert not list(out.glob("*.part"))


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
@pytest.mark.parametrize(
    "ending", ["SIGINT", "SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.long)]
)
def test_a_run_that_is_ended_keeps_what_is_finished(
    make_frames: MakeFrames, tmp_path: Path, ending: str
) -> None:
    make_frames(200)  # more than are drawn before it ends
    with Program([*COMMAND, *PREVIEW], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        until(lambda: len(slides(tmp_path / "out")) > 1, process)
        process.send_signal(getattr(signal, ending))
        _, said = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130
    assert "run the command again to continue" in said
    assert "Traceback" not in said
    for path in (tmp_path / "out").glob("*.png"):
        png.read(path)
    assert not list((tmp_path / "out").glob("*.part"))


def test_ctrl_break_ends_a_run_as_ctrl_c_does(make_frames: MakeFrames, tmp_path: Path) -> None:
    """Windows alone has that key; elsewhere another signal takes the part of its own."""
    program = """
import os, signal, threading, time
if not hasattr(signal, "SIGBREAK"):
    signal.SIGBREAK = signal.SIGUSR1
def press():
    while not os.path.exists("pressed"):
        time.sleep(0.01)
    signal.raise_signal(signal.SIGBREAK)
threading.Thread(target=press, daemon=True).start()
from stable_restyle.cli.main import main
main()
"""
    make_frames(200)  # more than are drawn before it ends
    command = [sys.executable, "-c", program, *PREVIEW]
    with Program(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        until(lambda: slides(tmp_path / "out"), process)
        (tmp_path / "pressed").touch()
        _, said = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130
    assert "run the command again to continue" in said


def test_arguments_are_taken_as_they_are_typed(tmp_path: Path) -> None:
    """Windows' shells expand nothing, and click would do it in their place: %VAR%, $VAR and *."""
    (tmp_path / "a.txt").touch()
    on_windows = (
        "import os, types, click.core; "
        "click.core.os = types.SimpleNamespace(**{**vars(os), 'name': 'nt'}); "
        "from stable_restyle.cli.main import main; main()"
    )
    for typed in ("$PATH.txt", "~/a.txt", "%PATH%.txt", "?.txt"):
        done = subprocess.run(
            [sys.executable, "-c", on_windows, "--batch", typed],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3
        assert f"{Path(typed)} cannot be read" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGHUP")
def test_a_run_that_was_started_to_ignore_signals_does(
    make_frames: MakeFrames, tmp_path: Path
) -> None:
    """As under nohup, in the background."""
    make_frames(40)
    command = ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", *COMMAND, *PREVIEW]
    with Program(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        until(lambda: slides(tmp_path / "out"), process)
        for ignored in ("SIGINT", "SIGHUP"):
            process.send_signal(getattr(signal, ignored))
        _, said = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, said
    assert "Done: 20 slides" in said


def test_help_shows_each_range_once() -> None:
    text = " ".join(CliRunner().invoke(main.command, ["--help"]).output.split())
    for option in main.command.params:
        if isinstance(option.type, click.FloatRange | click.IntRange):
            said = text.partition(f"{option.opts[0]} ")[2].partition(" --")[0]
            assert len(re.findall(r"<=?x|x>=?", said)) <= 1, option.opts


def test_counts_of_one_are_singular(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(1)
    plan = video_restyle("--dry-run", folder=tmp_path)
    assert "1 frame of 66x50 for 1 slide; 0 are finished." in plan.stdout
    assert "1 scene; the longest chain still to draw is 1 slide." in plan.stdout
    done = video_restyle(*PREVIEW, "-v", folder=tmp_path)
    assert "Done: 1 slide, all of them new, in out" in done.stderr
    assert re.search(r"000001\.png: \d+\.\d\d s on preview:clay", done.stderr)


def test_help_names_every_option_and_exit_code() -> None:
    text = CliRunner().invoke(main.command, ["--help"]).output
    for parameter in main.command.params:
        for name in parameter.opts:
            assert name.upper() in text or name in text
    for code in ("0 all", "1 some", "2 wrong", "3 unusable", "4 no backend", "130 interrupted"):
        assert code in text


HEAVY = {"numpy", "cv2", "av", "PIL", "requests", "tqdm", "ffmpeg"}


def imported(*words: str, folder: Path, before: str | None = None) -> set[str]:
    """Return the modules that a command imports, or those that it imports before it says this."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], *words],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    text = done.stderr
    if before is not None:
        text, said, _ = text.partition(before)
        assert said, text[-2000:]
    return {each.rpartition("|")[2].strip() for each in text.splitlines()}


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    loaded = imported("--help", folder=tmp_path)
    assert "click" in loaded and not loaded & HEAVY


def test_the_first_line_says_what_is_done_before_anything_heavy_is_imported(
    make_frames: MakeFrames, tmp_path: Path
) -> None:
    make_frames(2)
    line = "in -> clay.mp4, in 3 steps: draw the slides, join them to a film, write the report."
    loaded = imported("in", "clay.mp4", *PREVIEW, folder=tmp_path, before=line)
    assert "click" in loaded and not loaded & HEAVY


def test_a_log_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    began = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: began)
    lines = console.LogProgress("Drawing", total=100, done=10, unit="slide")
    assert lines.advance(5, began + 10) is None
    line = lines.advance(15, began + 40)
    assert line is not None and line.startswith("Drawing: 30 of 100 slides, 0.5")
    assert line.endswith(" left")
    assert lines.advance(1, began + 60) is None
    assert lines.advance(1, began + 75) is not None
    line = lines.advance(0, began + 106)  # nothing has been done for longer than before
    assert line is not None and line.startswith("Drawing: 32 of 100") and "left" not in line


def test_what_takes_long_as_a_rule_goes_on() -> None:
    flow = console.StallDetector(0)
    assert flow.advance(1, 100) and flow.advance(0, 390) and not flow.advance(0, 410)
    assert flow.advance(1, 420)


def test_a_time_is_told_as_a_clock_shows_it() -> None:
    assert [console.clock(seconds) for seconds in (0, 59.6, 3600, 86399)] == [
        "0:00:00",
        "0:01:00",
        "1:00:00",
        "23:59:59",
    ]


@pytest.mark.parametrize(
    ("typed", "rate"),
    [
        ("23.976", "24000/1001"),
        ("23.98", "24000/1001"),
        ("29.97", "30000/1001"),
        ("47.952", "48000/1001"),
        ("59.94", "60000/1001"),
        ("119.88", "120000/1001"),
        ("24", "24"),
        ("24.0", "24"),
        ("12.5", "25/2"),
        ("30000/1001", "30000/1001"),
    ],
)
def test_rates_of_ntsc_are_exact_however_they_are_rounded(typed: str, rate: str) -> None:
    assert types.Rate().convert(typed, None, None) == Fraction(rate)


def test_every_option_is_in_a_group_of_the_help() -> None:
    for each in main.command.params:
        if not isinstance(each, click.Argument):
            assert isinstance(each, help.Option), f"{each.opts}: use option(GROUP, ...)"
            assert each.group in help.GROUPS


def test_the_short_help_shows_the_daily_ten() -> None:
    text = CliRunner().invoke(main.command, ["-h"]).output
    shown = re.findall(r"^  (--[\w-]+)", text, re.MULTILINE)
    assert len(shown) == 10
    assert f"--help shows all {len(main.command.params) - 1} options" in text


def test_the_help_has_groups_and_examples() -> None:
    text = CliRunner().invoke(main.command, ["--help"]).output
    headings = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert headings == ["Examples", *help.GROUPS]
    assert len(re.findall(r"^  video-restyle ", text, re.MULTILINE)) == 4


def test_a_pattern_names_frames(make_frames: MakeFrames, tmp_path: Path) -> None:
    frames = make_frames(3)
    for number in (1, 2, 3):
        (frames / f"00000{number}.png").rename(frames / f"a_{number}.png")
    (frames / "b_1.png").write_bytes(b"")
    (frames / "b_2.png").write_bytes(b"")
    done = video_restyle("in/a_%d.png", "out.final", "--backend", "preview", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    steps = "in 2 steps: draw the slides, write the report."
    assert f"in{os.sep}a_%d.png -> out.final, {steps}" in done.stderr
    refused = video_restyle("in/b_%d.png", "out2", "--backend", "preview", folder=tmp_path)
    assert refused.returncode == 3 and "b_1.png" in refused.stderr
    refused = video_restyle("inn/b_%d.png", "out2", "--backend", "preview", folder=tmp_path)
    assert refused.returncode == 3 and "There is no inn.\nDid you mean in?" in refused.stderr


def test_codec_and_quality_of_a_film(make_frames: MakeFrames, tmp_path: Path) -> None:
    make_frames(3)
    words = ("in", "clay.mov", "--backend", "preview", "--video-codec", "prores")
    assert video_restyle(*words, folder=tmp_path).returncode == 0
    refused = video_restyle(*words, "--crf", "4", folder=tmp_path)
    assert refused.returncode == 2 and "prores has no such setting" in refused.stderr
