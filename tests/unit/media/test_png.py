"""PNGs of every kind are read and written, and damaged or huge ones refused by name."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import pngs
from support.pngs import folder_of, picture

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Pixels
from stable_restyle.media import png, sequence


def test_what_is_no_picture_is_refused_without_reading_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    for name, message in ((".", "is not a regular file"), ("film.mp4", "used: .*no such file")):
        with pytest.raises(UnusableInput, match=message) as refused:
            png.read_any(tmp_path / name)
        assert "object at" not in str(refused.value) and "Move that folder" not in str(
            refused.value
        )
    if os.path.exists("/dev/zero"):
        with pytest.raises(UnusableInput, match="is not a regular file"):
            png.read_any(Path("/dev/zero"))


def test_a_frame_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"in.000001\.png cannot be read: .*\nPut it back"):
        png.read(tmp_path / "in" / "000001.png")


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
    """Threads have different stacks; the first match that ISA-L finds once depended on them."""
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


@pytest.mark.parametrize("kind", pngs.KINDS, ids=str)
def test_an_orientation_turns_nothing(tmp_path: Path, kind: pngs.Kind) -> None:
    samples = pngs.samples_of(kind, 13, 11)
    path = tmp_path / "000001.png"
    for orientation in range(1, 9):
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
        path.write_bytes(whole[:length] + whole[-12:])  # with an end: noticed when it is decoded
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


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("hidden", ["the picture", b"zTXt", b"iTXt", b"iCCP"], ids=str)
def test_a_bomb_takes_little_memory(tmp_path: Path, hidden: str | bytes) -> None:
    """A few megabytes that unpack to a gigabyte are refused, or read only as far as the picture."""
    path = tmp_path / "000001.png"
    heads = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}
    if isinstance(hidden, bytes):
        extra = pngs.chunk(hidden, heads[hidden] + zeros(GIGABYTE))
        path.write_bytes(bomb(10, 10, 20, extra))
    else:
        path.write_bytes(bomb(10, 10, GIGABYTE))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 200  # MiB, of which 50 are Python, NumPy and OpenCV


def bomb(width: int, height: int, unpacked: int, extra: bytes = b"") -> bytes:
    """Return a PNG with one bit per pixel whose data unpacks to `unpacked` bytes."""
    header = struct.pack(">IIBBBBB", width, height, 1, pngs.GREY, 0, 0, 0)
    data = pngs.chunk(b"IDAT", zeros(unpacked))
    return pngs.SIGNATURE + pngs.chunk(b"IHDR", header) + extra + data + pngs.chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """Return this many zeros compressed, made of one block that is compressed once."""
    packer, block = zlib.compressobj(1, wbits=-15), bytes(2**22)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    blocks, rest = divmod(count, len(block))
    end = struct.pack(">I", count % 65521 << 16 | 1)  # the Adler-32 of zeros
    return b"\x78\x01" + blocks * packed + zlib.compress(bytes(rest))[2:-4] + end


def test_a_file_too_large_for_its_pixels_is_refused(tmp_path: Path) -> None:
    whole = png.encode(picture())
    with (tmp_path / "000001.png").open("wb") as file:
        file.write(whole[:-12])
        file.seek(2**25)  # a hole: it takes no room
        file.write(whole[-12:])
    with pytest.raises(UnusableInput, match="bytes are too many for 16x12 pixels"):
        png.read(tmp_path / "000001.png")
