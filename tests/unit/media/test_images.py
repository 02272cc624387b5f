"""Frames are accepted or refused by name before any work; files are whole or not there."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import pngs
from support.runs import files

from stable_restyle.core import files as its_files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Pixels
from stable_restyle.imaging import arrays
from stable_restyle.media import png, sequence


def picture(height: int = 12, width: int = 16, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def folder_of(folder: Path, *pictures: Pixels) -> Path:
    folder.mkdir(exist_ok=True)
    for index, each in enumerate(pictures):
        png.write(folder / sequence.name(index), each)
    return folder


def test_frames_are_counted_and_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture(seed=1), picture(seed=2))
    (folder / "notes.txt").write_text("not a frame")
    frames = sequence.find_frames(folder)
    assert (frames.count, frames.width, frames.height) == (2, 16, 12)
    assert np.array_equal(frames.read(1), picture(seed=2))


def test_no_frames(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"no frames .*000001\.png"):
        sequence.find_frames(tmp_path)


def test_a_frame_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"in.000001\.png cannot be read: .*\nPut it back"):
        png.read(tmp_path / "in" / "000001.png")


@pytest.mark.parametrize("missing", [0, 2])
def test_a_gap_is_named(tmp_path: Path, missing: int) -> None:
    folder = folder_of(tmp_path / "in", *[picture()] * 5)
    (folder / sequence.name(missing)).unlink()
    with pytest.raises(UnusableInput, match=f"{sequence.name(missing)} is missing"):
        sequence.find_frames(folder)


def test_frames_of_two_sizes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture(), picture(), picture(10, 16))
    with pytest.raises(UnusableInput, match=r"000003\.png is 16x10, but 000001\.png is 16x12"):
        sequence.find_frames(folder)


def test_a_truncated_frame_is_named_wherever_it_ends(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture(), picture())
    path = folder / "000002.png"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UnusableInput, match=r"000002\.png"):
            sequence.find_frames(folder)


def test_a_damaged_frame_is_named_when_it_is_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture())
    path = folder / "000001.png"
    whole = path.read_bytes()
    for place in range(16, len(whole) - 12):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(UnusableInput, match=r"000001\.png"):
            png.read(path)


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_end_in_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, dressed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.png"
    whole = png.encode(picture(3, 4))
    path.write_bytes(whole[:33] + junk + whole[-12:] if dressed else junk)
    with pytest.raises(UnusableInput, match=r"junk\.png"):
        png.read(path)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5, 3), (7, 1), (12, 16), (240, 320, 3)])
def test_what_is_encoded_is_read_elsewhere_as_it_was(shape: tuple[int, ...]) -> None:
    drawn = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(png.encode(drawn))) as opened:
        assert opened.mode == ("RGB" if len(shape) == 3 else "L")
        assert (np.asarray(opened) == drawn).all()


@pytest.mark.parametrize("width", [8, 60, 3000])
def test_the_same_pixels_give_the_same_bytes_in_every_thread(width: int) -> None:
    """Each thread has its stack elsewhere: what ISA-L finds at the beginning hung on that."""
    rng = np.random.default_rng(5)
    rest = rng.integers(0, 4, (1, width - 6, 3), np.uint8)
    drawn = [
        np.concatenate(
            [np.tile(rng.integers(0, 256, (1, 1, 3), np.uint8), (1, 6, 1)), rest], axis=1
        )
        for _ in range(300)
    ]
    at_once = threading.Barrier(16)

    def encoded(_: int) -> list[bytes]:
        at_once.wait()
        return [png.encode(each) for each in drawn]

    with ThreadPoolExecutor(at_once.parties) as threads:
        first, *others = threads.map(encoded, range(at_once.parties))
    assert all(other == first for other in others)


def test_another_format_under_the_name_of_a_png(tmp_path: Path) -> None:
    path = tmp_path / "000001.png"
    Image.fromarray(picture()).save(path, "JPEG")
    with pytest.raises(UnusableInput, match="not a PNG"):
        sequence.find_frames(tmp_path)


def test_a_size_past_the_bound_is_refused_before_decoding(tmp_path: Path) -> None:
    whole = png.encode(picture())
    head = b"IHDR" + struct.pack(">II", 40_000, 40_000) + whole[24:29]
    bomb = whole[:8] + whole[8:12] + head + struct.pack(">I", zlib.crc32(head)) + whole[33:]
    (tmp_path / "000001.png").write_bytes(bomb)
    with pytest.raises(UnusableInput, match="40000x40000"):
        sequence.find_frames(tmp_path)


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


GREY = np.arange(192, dtype=np.uint8).reshape(12, 16)
TRIPLED = np.stack([GREY] * 3, axis=2)
ALPHA = np.full((12, 16), 128, np.uint8)
OVER_BLACK = ((TRIPLED.astype(int) * 128 + 127) // 255).astype(np.uint8)
SPOT = TRIPLED.copy()
SPOT[5, 7] = 0


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(saved(Image.fromarray(TRIPLED)), TRIPLED, id="rgb"),
        pytest.param(saved(Image.fromarray(GREY)), TRIPLED, id="grey"),
        pytest.param(saved(Image.fromarray(TRIPLED).quantize(256)), TRIPLED, id="palette"),
        pytest.param(
            saved(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])),
            OVER_BLACK,
            id="grey and alpha",
        ),
        pytest.param(
            saved(Image.fromarray(np.dstack([TRIPLED, ALPHA]))), OVER_BLACK, id="rgb and alpha"
        ),
        pytest.param(
            saved(Image.fromarray(GREY), transparency=int(GREY[5, 7])), SPOT, id="grey, one clear"
        ),
        pytest.param(
            saved(Image.fromarray(GREY.astype(np.uint16) * 257)), TRIPLED, id="grey of 16 bits"
        ),
        pytest.param(
            saved(Image.fromarray(GREY > 90)),
            np.where(TRIPLED > 90, 255, 0).astype(np.uint8),
            id="one bit",
        ),
    ],
)
def test_every_kind_of_png_becomes_rgb(tmp_path: Path, data: bytes, expected: Pixels) -> None:
    path = tmp_path / "000001.png"
    path.write_bytes(data)
    assert np.array_equal(png.read(path), expected)


@pytest.mark.parametrize("size", [(1, 1), (13, 11)], ids=str)
@pytest.mark.parametrize("kind", pngs.KINDS, ids=str)
def test_every_colour_type_and_bit_depth_is_read(
    tmp_path: Path, kind: pngs.Kind, size: tuple[int, int]
) -> None:
    path = tmp_path / "000001.png"
    samples = pngs.samples_of(kind, *size)
    path.write_bytes(pngs.write(kind, samples))
    assert np.array_equal(sequence.find_frames(tmp_path).read(0), pngs.shown(kind, samples))


@pytest.mark.parametrize(
    "kind",
    [kind for kind in pngs.KINDS if kind.colour in (pngs.GREY, pngs.RGB, pngs.PALETTE)],
    ids=str,
)
def test_what_a_png_calls_transparent_is_black(tmp_path: Path, kind: pngs.Kind) -> None:
    samples = pngs.samples_of(kind, 13, 11)
    clear = samples[5, 7]
    path = tmp_path / "000001.png"
    path.write_bytes(pngs.write(kind, samples, pngs.transparent(kind, clear)))
    assert np.array_equal(png.read(path), pngs.shown(kind, samples, clear))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", pngs.KINDS, ids=str)
def test_an_orientation_turns_nothing(tmp_path: Path, kind: pngs.Kind, orientation: int) -> None:
    samples = pngs.samples_of(kind, 13, 11)
    path = tmp_path / "000001.png"
    path.write_bytes(pngs.write(kind, samples, pngs.turned(orientation)))
    frames = sequence.find_frames(tmp_path)
    assert (frames.width, frames.height) == (13, 11)
    assert np.array_equal(frames.read(0), pngs.shown(kind, samples))


def test_a_kept_png_has_nothing_but_its_pixels() -> None:
    kind = pngs.Kind(pngs.RGB, 8, interlaced=False)
    samples = pngs.samples_of(kind, 13, 11)
    bare = pngs.write(kind, samples)
    extra = pngs.turned(6) + pngs.chunk(b"tEXt", b"prompt\0a secret") + pngs.chunk(b"PLTE", b"abc")
    assert png.strip_metadata(pngs.write(kind, samples, extra)) == bare
    assert (
        png.strip_metadata(pngs.write(kind, samples, pngs.transparent(kind, samples[0, 0]))) is None
    )


@pytest.mark.parametrize(
    "kind", [kind for kind in pngs.KINDS if str(kind)[:11] != "RGB, 8 bits"], ids=str
)
def test_other_pngs_are_written_again(kind: pngs.Kind) -> None:
    assert png.strip_metadata(pngs.write(kind, pngs.samples_of(kind, 13, 11))) is None


def test_a_large_frame_cut_at_every_kilobyte_is_named(tmp_path: Path) -> None:
    path = tmp_path / "000001.png"
    whole = png.encode(picture(240, 320))
    for length in range(0, len(whole), 1024):
        path.write_bytes(whole[:length])
        with pytest.raises(UnusableInput, match=r"000001\.png"):
            sequence.find_frames(tmp_path)
        path.write_bytes(whole[:length] + whole[-12:])  # with an end: told when it is decoded
        with pytest.raises(UnusableInput, match=r"000001\.png"):
            png.read(path)


def test_16384_by_16384_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "000001.png").write_bytes(bomb(16384, 16384, 16384 * 2049))
    with pytest.raises(UnusableInput, match="its header says 16384x16384"):
        sequence.find_frames(tmp_path)


GIGABYTE = 2**30
PEAK = """
import sys
from pathlib import Path
from stable_restyle.media import png, sequence
from stable_restyle.core.errors import UnusableInput
try:
    png.read(Path(sys.argv[1]))
except UnusableInput:
    pass
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the peak so easily")
@pytest.mark.parametrize("hidden", ["the picture", b"zTXt", b"iTXt", b"iCCP"], ids=str)
def test_a_bomb_takes_little_memory(tmp_path: Path, hidden: str | bytes) -> None:
    """Some megabytes of a gigabyte: refused, or read no further than the picture goes."""
    path = tmp_path / "000001.png"
    heads = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}
    if isinstance(hidden, bytes):
        beside = pngs.chunk(hidden, heads[hidden] + zeros(GIGABYTE))
        path.write_bytes(bomb(10, 10, 20, beside))
    else:
        path.write_bytes(bomb(10, 10, GIGABYTE))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 200  # MiB, of which 50 are Python, NumPy and OpenCV


def bomb(width: int, height: int, unpacked: int, beside: bytes = b"") -> bytes:
    """A PNG of one bit a pixel whose pixels unpack to so many bytes."""
    header = struct.pack(">IIBBBBB", width, height, 1, pngs.GREY, 0, 0, 0)
    data = pngs.chunk(b"IDAT", zeros(unpacked))
    return pngs.SIGNATURE + pngs.chunk(b"IHDR", header) + beside + data + pngs.chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """Return this many zeros compressed, made of one block that is compressed once."""
    packer, block = zlib.compressobj(1, wbits=-15), bytes(2**22)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    blocks, rest = divmod(count, len(block))
    end = struct.pack(">I", count % 65521 << 16 | 1)  # the Adler-32 of zeros
    return b"\x78\x01" + blocks * packed + zlib.compress(bytes(rest))[2:-4] + end


def test_slides_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "out", *[picture()] * 4)
    png.write(folder / "000002.png", picture(8, 8))
    (folder / "000003.png").write_bytes(b"")
    png.write(folder / "000009.png", picture())
    finished, unfit = sequence.find_slides(folder, 4, (16, 12))
    assert finished == {0, 3}
    assert [line.split()[0] for line in unfit] == [
        str(folder / "000002.png"),
        str(folder / "000003.png"),
    ]


SIDES = st.integers(1, 5000)


@given(SIDES, SIDES, st.floats(0.05, 20))
def test_a_scale_has_both_sides_rounded_to_whole_pixels(
    width: int, height: int, scale: float
) -> None:
    rounded = max(round(width * scale), 1), max(round(height * scale), 1)
    whole = width * scale >= 0.5 and height * scale >= 0.5
    assert sequence.is_scale(rounded, (width, height)) or not whole
    assert sequence.is_scale(rounded[::-1], (height, width)) or not whole


@pytest.mark.parametrize("size", [(16, 14), (18, 12), (12, 16), (8, 8), (32, 12), (1, 2)], ids=str)
def test_another_shape_is_no_scale(size: tuple[int, int]) -> None:
    assert not sequence.is_scale(size, (16, 12))


@pytest.mark.parametrize("size", [(8, 6), (16, 12), (24, 18), (80, 60)])
def test_a_slide_of_any_scale_is_finished(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = folder_of(tmp_path / "out", arrays.fit(picture(), *size))
    assert sequence.find_slides(folder, 1, (16, 12)) == ({0}, [])


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "000001.png"
    png.write(path, picture(seed=1))

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(UnusableInput, match="No space left on device"):
        png.write(path, picture(seed=2))
    assert np.array_equal(png.read(path), picture(seed=1))
    assert [each.name for each in tmp_path.iterdir()] == ["000001.png"]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power loss a name without its bytes would be a slide of length zero."""
    done: list[str] = []
    fsync, give_name = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        done.append("folder" if is_folder else f"{os.fstat(handle).st_size} bytes")
        fsync(handle)

    monkeypatch.setattr("os.fsync", noted_fsync)

    def noted_replace(path: Path, target: Path) -> None:
        done.append("name")
        give_name(path, target)

    monkeypatch.setattr("os.replace", noted_replace)
    its_files.write_whole(tmp_path / "000001.png", b"twelve bytes")
    folder = [] if os.name == "nt" else ["folder"]
    assert done == ["12 bytes", "name", *folder]
    done.clear()
    part = folder_of(tmp_path / "in.part", picture())
    done.clear()
    its_files.move_whole(part, tmp_path / "in")
    size = (tmp_path / "in" / "000001.png").stat().st_size
    assert done == [f"{size} bytes", *folder, "name", *folder]


@pytest.mark.skipif(os.name != "posix", reason="it has no fcntl")
@pytest.mark.parametrize("is_able", [True, False])
def test_macos_is_asked_to_empty_the_memory_of_the_disk_too(
    is_able: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def control(handle: int, command: int) -> None:
        assert command == 51
        done.append("the disk's memory")
        if not is_able:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("fcntl.F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr("fcntl.fcntl", control)
    monkeypatch.setattr("os.fsync", lambda handle: done.append("fsync"))
    its_files.write_whole(tmp_path / "a", b"data")
    assert done == (["the disk's memory"] * 2 if is_able else ["the disk's memory", "fsync"] * 2)


def test_a_folder_that_cannot_have_its_name_stays_whole(tmp_path: Path) -> None:
    part = folder_of(tmp_path / "in.part", picture())
    folder_of(tmp_path / "in", picture(), picture())
    with pytest.raises(UnusableInput, match=r"in cannot be written: .*\n.*run the command again"):
        its_files.move_whole(part, tmp_path / "in")
    assert sequence.numbered(part) == ["000001.png"]
    assert sequence.numbered(tmp_path / "in") == ["000001.png", "000002.png"]


def test_names_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert sequence.numbered(tmp_path / "nowhere") == []
    for name in ("1000000.png", "999999.png", "000002.png", "00003.png", "000004.png.part"):
        (tmp_path / name).touch()
    assert sequence.numbered(tmp_path) == ["000002.png", "999999.png", "1000000.png"]


@pytest.fixture
def another_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder to which no file of `tmp_path` can be renamed."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_slides_are_moved_to_another_disk_too(tmp_path: Path, another_disk: Path) -> None:
    drawn, out = folder_of(tmp_path / "drawn", picture(seed=1), picture(seed=2)), tmp_path / "out"
    slides = files(drawn)
    (drawn / "notes.txt").write_text("no slide")
    out.mkdir()
    sequence.move(drawn, out)
    assert (list(files(drawn)), files(out)) == (["notes.txt"], slides)
    sequence.move(out, another_disk)
    assert (files(out), files(another_disk)) == ({}, slides)


def test_a_folder_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture())
    folder_of(folder / "deeper", picture())
    its_files.remove_folder(folder)
    assert not folder.exists()
    its_files.remove_folder(folder)
    folder.touch()
    with pytest.raises(UnusableInput, match=r"in cannot be removed: .*\nRemove it"):
        its_files.remove_folder(folder)


def test_files_are_removed_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "out", picture(), picture())
    (folder / "000003.png").mkdir()
    its_files.remove_all(folder, ["000001.png", "000009.png"])
    assert sequence.numbered(folder) == ["000002.png", "000003.png"]
    refusal = r"000003\.png cannot be removed: .*\n(Remove it|Close that program)"
    with pytest.raises(UnusableInput, match=refusal):
        its_files.remove_all(folder, ["000003.png"])


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
@pytest.mark.parametrize("linked", ["000001.png", "000001.png.part"])
def test_nothing_is_written_through_a_link(tmp_path: Path, linked: str) -> None:
    mine, out = tmp_path / "mine.png", tmp_path / "out"
    mine.write_text("the user's own")
    out.mkdir()
    (out / linked).symlink_to(mine)
    png.write(out / "000001.png", picture())
    assert mine.read_text() == "the user's own"
    assert [path.name for path in out.iterdir()] == ["000001.png"]
    assert not (out / "000001.png").is_symlink()


def test_what_is_no_file_is_no_slide_and_no_frame(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("links need a privilege there, and named pipes are no files")
    mine = folder_of(tmp_path / "mine", picture())
    out = folder_of(tmp_path / "out", *[picture()] * 5)
    for slide in range(4):
        (out / sequence.name(slide)).unlink()
    (out / "000001.png").symlink_to(mine / "000001.png")
    (out / "000002.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(out / "000003.png")
    (out / "000004.png").mkdir()
    finished, unfit = sequence.find_slides(out, 5, (16, 12))
    assert finished == {4}
    assert [line.partition(" is ")[2] for line in unfit] == [
        "a symbolic link.",
        "a symbolic link.",
        "not a regular file.",
        "not a regular file.",
    ]
    with pytest.raises(UnusableInput, match=r"000003\.png is not a regular file"):
        png.read(out / "000003.png")
    (out / "000001.png").unlink()
    (out / "000002.png").unlink()
    with pytest.raises(UnusableInput, match=r"000001\.png is missing"):
        sequence.find_frames(out)


def test_frames_have_marks_of_their_own(tmp_path: Path) -> None:
    """One pixel is enough, and the same picture has the same mark wherever it is."""
    spotted = picture()
    spotted[3, 5, 1] ^= 1
    folder = folder_of(tmp_path / "in", picture(), spotted, picture())
    marks = sequence.find_frames(folder).marks
    assert marks[0] == marks[2] != marks[1]
    flat = np.full((12, 16, 3), 7, np.uint8)
    others = []
    for row in range(12):
        for column in range(16):
            flat[row, column] += 1
            others.append(flat.copy())
            flat[row, column] -= 1
    assert len(set(sequence.find_frames(folder_of(tmp_path / "flat", *others)).marks)) == len(
        others
    )


def test_a_file_too_large_for_its_pixels_is_refused(tmp_path: Path) -> None:
    whole = png.encode(picture())
    with (tmp_path / "000001.png").open("wb") as file:
        file.write(whole[:-12])
        file.seek(2**25)  # a hole: it takes no room
        file.write(whole[-12:])
    with pytest.raises(UnusableInput, match="bytes are too many for 16x12 pixels"):
        png.read(tmp_path / "000001.png")
