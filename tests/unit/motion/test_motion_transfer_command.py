"""The command line: flags are processed in order, and a failure is explained in one line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from motion_transfer import apply, cli, measure
from PIL import Image
from support import paths
from support.scanner import Scanner

GOLDEN = paths.DATA / "golden"
REFERENCE = "MOTION_TRANSFER_REFERENCE"  # a command to compare ours with
OURS = shlex.join([sys.executable, "-m", "motion_transfer"])

Picture = npt.NDArray[np.uint8]
Command = Callable[..., None]


def read(path: Path) -> Picture:
    return np.asarray(Image.open(path).convert("RGB"))


def picture(seed: int) -> Picture:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return noise.repeat(8, axis=0).repeat(8, axis=1)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with 1.png ... 4.png of one size and small.png of another."""
    for seed in (1, 2, 3, 4):
        Image.fromarray(picture(seed)).save(tmp_path / f"{seed}.png")
    Image.fromarray(picture(5)[:40]).save(tmp_path / "small.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs motion-transfer in this process."""

    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["motion-transfer", *words])
        cli.main()

    return run


def run_program(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    split = shlex.split(program, posix=os.name == "posix")
    return subprocess.run([*split, *map(str, words)], capture_output=True, text=True, check=False)


def warped_by(program: str, folder: Path, result: Path) -> Picture:
    """Return slide 1, warped from slide 2 by a program with motion-transfer's command line."""
    frames = [folder / "in" / f"00000{number}.png" for number in (3, 2, 1)]
    done = run_program(program, "-m", *frames, "-i", folder / "out" / "000002.png", "-o", result)
    assert done.returncode == 0, done.stderr
    return read(result)


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda folder: folder.name)
@pytest.mark.parametrize("reference", [OURS, os.environ.get(REFERENCE)], ids=["ours", "reference"])
def test_it_warps_as_the_reference_does(
    reference: str | None, folder: Path, tmp_path: Path
) -> None:
    if reference is None:
        pytest.skip(f"{REFERENCE} names no program to compare with")
    frames = [read(folder / "in" / f"00000{number}.png") for number in (3, 2, 1)]
    ours = apply(measure(frames), read(folder / "out" / "000002.png"))
    apart = np.abs(warped_by(reference, folder, tmp_path / "warped.png").astype(int) - ours)
    assert np.mean(apart.max(axis=2) <= 8) >= 0.98


def test_flags_repeat_in_their_order(pictures: Path, command: Command) -> None:
    first = "-m 1.png 2.png -i 3.png -o a.png -o again.png"
    then = "-i 4.png -o b.png -m 2.png 1.png 3.png -o c.png"
    command(*first.split(), *then.split())
    there = measure([picture(1), picture(2)])
    back = measure([picture(2), picture(1), picture(3)])
    assert np.array_equal(read(pictures / "a.png"), apply(there, picture(3)))
    assert np.array_equal(read(pictures / "again.png"), apply(there, picture(3)))
    assert np.array_equal(read(pictures / "b.png"), apply(there, picture(4)))
    assert np.array_equal(read(pictures / "c.png"), apply(back, picture(4)))


def test_names_beyond_ascii_and_with_dashes(pictures: Path, command: Command) -> None:
    Path("1.png").rename("-ä 動.png")
    command("-i", "2.png", "-m", "./-ä 動.png", "-o", "Größe.PNG")
    assert np.array_equal(read(pictures / "Größe.PNG"), apply(measure([picture(1)]), picture(2)))


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif"])
def test_pictures_of_many_formats(pictures: Path, command: Command, ending: str) -> None:
    Image.fromarray(picture(1)).save(f"frame{ending}")
    command("-m", f"frame{ending}", "-i", "2.png", "-o", f"result{ending}")
    assert read(pictures / f"result{ending}").shape == picture(2).shape


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_pictures_of_other_modes(pictures: Path, mode: str) -> None:
    Image.fromarray(picture(1)).convert(mode).save("other.tif")
    assert cli.read(Path("other.tif")).shape == picture(1).shape


def test_sixteen_bits_keep_their_upper_eight(pictures: Path) -> None:
    deep = np.arange(0, 65536, 1024).astype(np.uint16).reshape(8, 8)
    Image.fromarray(deep).save("deep.png")
    assert np.array_equal(cli.read(Path("deep.png")), np.stack([deep >> 8] * 3, axis=2))


@pytest.mark.parametrize(
    "line, message",
    [
        ("", "nothing to do: there is no -o RESULT"),
        ("-m 1.png -i 2.png", "nothing to do"),
        ("-i 2.png -o a.png -m 1.png", "-o a.png: there must be -m FRAME... before it"),
        ("-m 1.png -o a.png -i 2.png", "-o a.png: there must be -i IMAGE before it"),
        ("1.png -m 2.png", "1.png: there must be -m, -i or -o before a file name"),
        ("-m -i 2.png -o a.png", "-m: a file name must follow"),
        ("-m 1.png -i 2.png -o", "-o: a file name must follow"),
        ("-m 1.png -i 2.png 3.png -o a.png", "-i: one file name must follow, not 2"),
        ("-m 1.png -i 2.png -x a.png", "-x: there is no such flag"),
        ("-m 1.png none.png -i 2.png -o a.png", "none.png: there is no such file"),
        ("-m 1.png -i text.png -o a.png", "text.png cannot be read: it is not a picture"),
        ("-m 1.png -i cut.png -o a.png", "cut.png cannot be read: it is not a picture, or it is"),
        ("-m 1.png -i folder -o a.png", "folder cannot be read: "),
        ("-m 1.png 2.png small.png -i 2.png -o a.png", "-m 1.png ... small.png: frame 3 of the"),
        ("-m 1.png -i small.png -o a.png", "-o a.png: the image is 96x40, but the frames"),
        ("-m 1.png -i 2.png -o a.xyz", "a.xyz: no picture format ends in '.xyz'; call it a.png"),
        ("-m 1.png -i 2.png -o a", "a: no picture format ends in ''"),
        ("-m 1.png -i 2.png -o a.xbm", "a.xbm cannot be written: cannot write mode RGB as XBM"),
        ("-m 1.png -i 2.png -o none/a.png", "a.png cannot be written: "),
        ("-m 1.png -i 2.png -o 1.png/a.png", "a.png cannot be written: "),
        ("-m 1.png -i 2.png -o folder.png", "folder.png cannot be written: "),
    ],
)
def test_a_failure_is_explained_in_one_line(
    pictures: Path, command: Command, line: str, message: str
) -> None:
    Path("text.png").write_text("not a picture")
    Path("cut.png").write_bytes(Path("1.png").read_bytes()[:200])
    Path("folder").mkdir()
    Path("folder.png").mkdir()
    before = set(pictures.iterdir())
    with pytest.raises(SystemExit) as exit_:
        command(*line.split())
    assert isinstance(exit_.value.code, str)  # which Python prints to stderr, and exits with 1
    assert exit_.value.code.startswith("motion-transfer: ")
    assert message in exit_.value.code
    assert "\n" not in exit_.value.code
    assert set(pictures.iterdir()) == before


def test_a_result_that_cannot_be_written_leaves_the_old_one(
    pictures: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(part: Path, data: bytes) -> None:
        part.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    before = Path("4.png").read_bytes()
    with pytest.raises(SystemExit, match=r"4\.png cannot be written: No space left on device"):
        command("-m", "1.png", "-i", "2.png", "-o", "4.png")
    assert Path("4.png").read_bytes() == before
    assert len(list(pictures.iterdir())) == 5


def test_a_result_that_another_program_has_open_is_waited_for(
    pictures: Path, command: Command, scanner: Scanner
) -> None:
    before = Path("4.png").read_bytes()
    command("-m", "1.png", "-i", "2.png", "-o", "4.png")
    after = Path("4.png").read_bytes()
    assert after != before
    scanner.keep_open("")
    with pytest.raises(SystemExit, match=r"4\.png cannot be written: another program has it open"):
        command("-m", "1.png", "-i", "3.png", "-o", "4.png")
    assert Path("4.png").read_bytes() == after


def test_the_exit_code_and_where_the_line_goes(pictures: Path) -> None:
    done = run_program(OURS, "-m", "none.png", "-i", "1.png", "-o", "a.png")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "motion-transfer: none.png: there is no such file\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(command: Command, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    command(flag)
    assert "-m FRAME... -i IMAGE -o RESULT" in capsys.readouterr().out


def test_version(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command("--version")
    assert capsys.readouterr().out.startswith("motion-transfer 0.")
