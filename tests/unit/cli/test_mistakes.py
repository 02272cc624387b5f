"""What a user may mistype ends in a message with the next step, never in a traceback."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import conftest
import pytest
from click.testing import CliRunner
from support import clips

from stable_restyle.cli import exits, main, options
from stable_restyle.core.errors import from_system
from stable_restyle.media import png, sequence

LONG = "x" * 5000
LOOP = "loop/film.mp4"
PREVIEW = ("--backend", "preview")
POSIX = os.name == "posix"


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command sets what ends it; the tests go on with what was set before."""
    before = [signal.getsignal(number) for number in exits.SIGNALS]
    yield
    for number, handler in zip(exits.SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames, a film, and a link that leads to itself."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "in").mkdir()
    for index in range(4):
        png.write(folder / "in" / sequence.name(index), conftest.frame(index, (40, 90, 200)))
    clips.make(folder / "film.mp4", clips.scenes(4))
    if POSIX:
        (folder / "loop").symlink_to("loop")
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["video-restyle", *arguments])
    try:
        main.main()
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
    return 0


MISTAKES: list[tuple[str, ...]] = [
    ("nowhere",),
    (LONG,),
    ("a\0b",),
    (LOOP,),
    ("film.mp4/in",),
    ("in/000001.png",),
    ("in", LONG),
    ("in", f"{LONG}.mp4"),
    ("in", "a\0b"),
    ("in", LOOP),
    ("in", "in"),
    ("film.mp4", "film.mp4"),
    ("in", "out", "--work", LONG),
    ("in", "out", "--work", "a\0b"),
    ("in", "out", "--work", "loop"),
    ("--model", LONG),
    ("--model", "a\0b"),
    ("--model", "loop"),
    ("--model", "in"),
    ("--model", "film.mp4"),
    ("--model", "film.mp4/x.json"),
    ("--motion", "foo 'bar"),
    ("--motion", ""),
    ("--motion", "fast"),
    ("--motion", LONG),
    ("--motion", "a\0b"),
    ("--motion", "in"),
    ("--motion", "film.mp4"),
    ("--motion", "codec", "--keys", "3"),
    ("--set", ""),
    ("--set", "="),
    ("--set", "6.text"),
    ("--set", f"{'9' * 5000}:6.text=x"),
    ("--seed", "9" * 5000),
    ("--seed", "1e3"),
    ("--fps", "9" * 5000),
    ("--header", "no colon"),
    ("--header", "A: b\nc: d", "--backend", "http://localhost"),
    ("--header", "\u00c4: b", "--backend", "http://localhost"),
    ("--backend", "http://[::1"),
    ("--backend", "http://host:99999999"),
    ("--backend", "http://"),
    ("--backend", LONG),
    ("--backend", ""),
    ("--backend", "preview:oil"),
    ("--backend", "a:8188,b:8188"),
]
OF_RUNS: list[tuple[str, ...]] = [
    ("in", "film.mp4/out"),
    ("in", "film.mp4/out.mp4"),
    ("in", "out", "--work", "film.mp4"),
    ("--batch", LONG),
    ("--batch", "a\0b"),
    ("--batch", "loop"),
    ("--batch", "in"),
    ("--batch", "nowhere.txt"),
    ("--batch", "film.mp4"),
    ("--redo", "9" * 5000),
    ("--redo", "-"),
    ("--dask", "local:0"),
    ("--dask", f"local:{'9' * 5000}"),
]


@pytest.mark.parametrize(
    "words",
    [*MISTAKES, *((*mistake, "--dry-run") for mistake in MISTAKES), *OF_RUNS],
    ids=lambda words: ascii(" ".join(words))[:60],
)
def test_a_mistake_is_refused_with_the_next_step(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    if not POSIX and "loop" in "".join(words):
        pytest.skip("links need a privilege on Windows")
    code = ended(monkeypatch, *words, *(() if "--backend" in words else PREVIEW))
    said = capsys.readouterr().err
    assert code in (2, 3)
    assert re.search(r"^(Error|Usage): ", said, re.MULTILINE)
    assert "Fix this and run" not in said


@pytest.fixture
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that this process may not enter, in one that it may write; root may enter any."""
    if sys.platform == "win32":
        pytest.skip("Windows has other permissions")
    folder = tmp_path_factory.mktemp("closed")
    (folder / "film.mp4").touch()
    (folder / "films.txt").touch()
    user = os.geteuid()
    folder.chmod(0)
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


@pytest.mark.parametrize("how", [(), ("--dry-run",), ("--report",), ("--measure",)], ids=" ".join)
@pytest.mark.parametrize(
    "words",
    [
        ("{}/film.mp4", "/tmp/out.mp4"),
        ("{}", "/tmp/out"),
        ("{}/film.mp4", "/tmp/out.mp4"),
        ("/usr", "{}/out"),
        ("/usr", "{}/out.mp4"),
        ("/usr", "/tmp/out", "--work", "{}/interp"),
        ("/usr", "/tmp/out", "--model", "{}/flow.json"),
        ("/usr", "/tmp/out", "--motion", "{}/program"),
        ("--batch", "{}/films.txt"),
    ],
    ids=" ".join,
)
def test_a_folder_that_may_not_be_entered(
    closed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    how: tuple[str, ...],
) -> None:
    code = ended(monkeypatch, *(word.format(closed) for word in words), *PREVIEW, *how)
    assert code in (2, 3)
    assert "Error: " in capsys.readouterr().err


def test_one_bad_line_of_a_list_hides_no_other(closed: Path) -> None:
    lines = f"""{closed}/film.mp4 one.mp4
    nowhere.mp4 two.mp4
    /usr three -- --motion "x 'y" """
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "films.txt")
        listed.write_text(lines)
        done = CliRunner().invoke(main.command, ["--batch", str(listed), *PREVIEW])
    for number, said in ((1, "Permission denied"), (2, "nowhere.mp4"), (3, "is not closed")):
        assert f"line {number}: " in str(done.exception) and said in str(done.exception)


def test_more_names_than_two_are_taken_for_films(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell makes them of *.mp4, or of a name with blanks."""
    assert ended(monkeypatch, "a.mp4", "b.mp4", "c.mp4") == 2
    assert "list them in a file for --batch" in capsys.readouterr().err


def test_two_films_as_source_and_target(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "other.mp4").write_bytes((here / "film.mp4").read_bytes())
    assert ended(monkeypatch, "film.mp4", "other.mp4", *PREVIEW) == 3
    assert "list them in a file for --batch" in capsys.readouterr().err
    assert (here / "other.mp4").read_bytes() == (here / "film.mp4").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--check", "--dry-run"), "--check and --dry-run exclude each other"),
        (("--check", "--report", "--measure"), "--check, --measure and --report exclude"),
        (("--redo", "3", "--fresh"), "--redo and --fresh exclude each other"),
        (("--batch", "x", "--report"), "--report and --batch exclude each other"),
        (("-v", "-q"), "--verbose and --quiet exclude each other"),
        (("--seconds", "3"), "--seconds S goes with --dry-run."),
        (("--redo-chain",), "--redo-chain goes with --redo SLIDES."),
        (("in", "--batch", "x"), "write SOURCE and TARGET in its lines"),
        (("flim.mp4",), "There is no flim.mp4.\nDid you mean film.mp4?"),
        (("help",), "type `video-restyle --help`"),
        (("film.mp4", "out.mp4", "--redo", "3:5"), "--redo 3:5: '3:5' is not a slide"),
        (("--model", "x.safetensors"), "--set 1.ckpt_name=x.safetensors"),
        (("--motion", "fast"), "Did you mean flow:fast?"),
        (("--motion", "flw"), "Did you mean flow?"),
        (("--backend", "http://a:8188,b:8188"), "Did you mean http://b:8188?"),
    ],
)
def test_a_message_names_what_was_meant(here: Path, words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(main.command, words)
    assert said in done.output + str(done.exception)


def test_all_that_exclude_each_other_are_refused_together() -> None:
    words = (
        "--check",
        "--redo",
        "3",
        "--fresh",
        "--only",
        "a",
        "--only-not",
        "b",
        "--seconds",
        "3",
    )
    said = CliRunner().invoke(main.command, words).output
    for each in (
        "--check and --redo exclude each other",
        "--redo and --fresh exclude each other",
        "--only and --only-not exclude each other",
        "--seconds S goes with --dry-run.",
        "--seconds S needs to know the backends",
    ):
        assert each in said


@pytest.mark.parametrize("option", exits.NO_OPTIONS)
def test_names_go_without_an_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert ended(monkeypatch, option, "film.mp4") == 2
    assert "SOURCE and TARGET go without an option" in capsys.readouterr().err


def test_nothing_typed_where_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended(monkeypatch) == 3
    said = capsys.readouterr().err
    assert said.startswith("Error: Which film?") and said.count("\n  video-restyle film.mp4") == 2


def test_options_of_a_line_go_behind_dashes(here: Path) -> None:
    (here / "films.txt").write_text("film.mp4 out.mp4 --fps 1\n")
    done = CliRunner().invoke(main.command, ["--batch", "films.txt", *PREVIEW])
    assert "write -- before its options: SOURCE TARGET -- --fps ..." in str(done.exception)
    (here / "films.txt").unlink()


def test_a_reader_that_is_gone_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `video-restyle --help | more` that is left early; Windows calls the pipe invalid."""
    assert exits.is_closed_pipe(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    invalid = OSError(errno.EINVAL, "Invalid argument")
    monkeypatch.setattr(os, "name", "posix")
    assert not exits.is_closed_pipe(invalid)
    monkeypatch.setattr(os, "name", "nt")
    assert exits.is_closed_pipe(invalid)
    assert not exits.is_closed_pipe(OSError(errno.EINVAL, "Invalid argument", "a:b"))


def test_backends_are_listed_with_commas() -> None:
    listed = "http://a:8188, https://u:p,w@b/x,preview,c:8188"
    assert options.split_backends(listed) == [
        "http://a:8188",
        "https://u:p,w@b/x",
        "preview",
        "c:8188",
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EACCES, "Permission denied", "in"), 3),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "in"), 3),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (OSError(errno.ENOENT, "No such file or directory", "in"), None),
        (OSError(errno.EACCES, "Permission denied"), None),
    ],
)
def test_what_the_machine_is_to_blame_for(error: OSError, kind: int | None) -> None:
    """A file that is missing where the program expects it is a fault of the program."""
    said = from_system(error)
    assert (said and said.exit_code) == kind
