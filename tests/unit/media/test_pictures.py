"""Pictures of every kind become the pixels that a viewer shows."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from support import clips, pngs

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Pixels
from stable_restyle.media import pictures, png

HEIGHT, WIDTH = 32, 48


@pytest.fixture
def shown() -> Pixels:
    """Return four plain quarters, which every codec keeps, all different."""
    quarters = np.array([[(200, 30, 60), (20, 180, 90)], [(40, 60, 220), (250, 250, 240)]])
    return quarters.astype(np.uint8).repeat(HEIGHT // 2, axis=0).repeat(WIDTH // 2, axis=1)


def assert_shows(path: Path, shown: Pixels, tolerance: int = 0) -> None:
    """Check pixels and header; those of lossy files only inside of the quarters."""
    picture = pictures.read(path)
    assert picture.dtype == np.uint8 and picture.shape == shown.shape
    assert pictures.read_header(path).size == shown.shape[1::-1]
    inner = np.abs(picture.astype(int) - shown)
    for axis in (0, 1):
        middle = inner.shape[axis] // 2
        inner = np.delete(inner, [middle - 2, middle - 1, middle, middle + 1], axis)
    assert inner.max() <= tolerance


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.jpg", {"quality": 95, "subsampling": 0}, 4),
        ("a.JPEG", {"format": "JPEG", "quality": 95, "subsampling": 0}, 4),
        ("a.webp", {"lossless": True}, 0),
        ("a.tif", {}, 0),
        ("a.TIFF", {"format": "TIFF", "compression": "tiff_lzw"}, 0),
        ("a.bmp", {}, 0),
        ("a.PNG", {"format": "PNG"}, 0),
    ],
)
def test_eight_bits(
    name: str, options: dict[str, Any], tolerance: int, shown: Pixels, tmp_path: Path
) -> None:
    Image.fromarray(shown).save(tmp_path / name, **options)
    assert_shows(tmp_path / name, shown, tolerance)


@pytest.mark.parametrize("ending", [".tif", ".png"])
def test_sixteen_bits_are_cut_to_eight(ending: str, shown: Pixels, tmp_path: Path) -> None:
    deep = shown.astype(np.uint16) * 256 + 255
    colour, grey = tmp_path / f"colour{ending}", tmp_path / f"grey{ending}"
    cv2.imwrite(str(colour), deep[:, :, ::-1])
    cv2.imwrite(str(grey), deep[:, :, 0])
    assert_shows(colour, shown)
    assert_shows(grey, np.repeat(shown[:, :, :1], 3, axis=2))


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".dpx", "rgb24"), (".dpx", "gbrp10le"), (".exr", "gbrpf32le")]
)
def test_films_frames_are_decoded_by_ffmpeg(
    suffix: str, kind: str, shown: Pixels, tmp_path: Path
) -> None:
    path = tmp_path / f"a_%{suffix.upper()}"  # no pattern for FFmpeg to fill in
    made = clips.make(tmp_path / f"b{suffix}", shown[None], "-pix_fmt", kind, "-update", "1")
    made.rename(path)
    assert_shows(path, shown, 1 if kind != "rgb24" else 0)


TURNED: dict[
    int, Callable[[Pixels], Pixels]
] = {  # Exif's orientations: how the stored picture looks when the shown one is upright
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: np.rot90(shown),
    7: lambda shown: shown[::-1, ::-1].transpose(1, 0, 2),
    8: lambda shown: np.rot90(shown, -1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("ending", [".jpg", ".webp", ".tif"])
def test_pictures_are_turned_upright(
    ending: str, orientation: int, shown: Pixels, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = np.ascontiguousarray(TURNED[orientation](shown))
    options: dict[str, dict[str, Any]] = {
        ".jpg": {"quality": 95, "subsampling": 0},
        ".webp": {"lossless": True},
        ".tif": {},
    }
    Image.fromarray(stored).save(tmp_path / f"a{ending}", exif=exif, **options[ending])
    assert_shows(tmp_path / f"a{ending}", shown, 4 if ending == ".jpg" else 0)


@pytest.mark.parametrize("ending", [".webp", ".tif"])
def test_transparency_is_black(ending: str, shown: Pixels, tmp_path: Path) -> None:
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, : WIDTH // 2] = 0
    options: dict[str, Any] = {"lossless": True, "exact": True} if ending == ".webp" else {}
    Image.fromarray(np.dstack([shown, alpha])).save(tmp_path / f"a{ending}", **options)
    over_black = shown.copy()
    over_black[:, : WIDTH // 2] = 0
    assert_shows(tmp_path / f"a{ending}", over_black)


def test_a_bitmap_of_32_bits_is_opaque(shown: Pixels, tmp_path: Path) -> None:
    """Its fourth byte is not used, and usually 0."""
    rows = np.dstack([shown[::-1, :, ::-1], np.zeros((HEIGHT, WIDTH), np.uint8)])
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 32, 0, rows.nbytes, 0, 0, 0, 0)
    header = b"BM" + struct.pack("<IHHI", 54 + rows.nbytes, 0, 0, 54)
    (tmp_path / "a.bmp").write_bytes(header + info + rows.tobytes())
    assert_shows(tmp_path / "a.bmp", shown)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA"])
def test_other_colours(mode: str, shown: Pixels, tmp_path: Path) -> None:
    image = Image.fromarray(shown).convert(mode)
    image.save(tmp_path / "a.tif")
    assert_shows(tmp_path / "a.tif", np.asarray(image.convert("RGB")), 2)


@pytest.mark.parametrize("ending", [".jpg", ".webp", ".tif", ".bmp", ".dpx", ".exr"])
def test_what_is_damaged_is_named(ending: str, shown: Pixels, tmp_path: Path) -> None:
    path = tmp_path / f"frame{ending}"
    if ending in (".dpx", ".exr"):
        options = ("-pix_fmt", "gbrpf32le") if ending == ".exr" else ()
        clips.make(path, clips.numbered(1), *options, "-update", "1")
    else:
        Image.fromarray(shown).save(path)
    whole = path.read_bytes()
    cut = {length: whole[:length] for length in (0, 7, len(whole) // 3)}
    if ending == ".exr":  # FFmpeg would show the rest in black
        cut[len(whole) - 1] = whole[:-1]
    for data in (*cut.values(), b"no picture" * 99):
        path.write_bytes(data)
        with pytest.raises(
            UnusableInput, match=rf"frame\{ending} (is damaged, or not a pic|cannot be used)"
        ):
            pictures.read(path)


def test_what_is_too_large_too_deep_or_no_file_is_refused(tmp_path: Path) -> None:
    Image.new("1", (8193, 8193)).save(tmp_path / "large.tif")
    Image.new("F", (8, 8)).save(tmp_path / "deep.tif")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(UnusableInput, match=r"large\.tif cannot be used: .*8193x8193"):
        pictures.read_header(tmp_path / "large.tif")
    with pytest.raises(UnusableInput, match=r"deep\.tif .* more than 16 bits"):
        pictures.read(tmp_path / "deep.tif")
    with pytest.raises(UnusableInput, match=r"folder\.jpg is not a regular file"):
        pictures.read_header(tmp_path / "folder.jpg")
    with pytest.raises(UnusableInput, match=r"gone\.jpg cannot be read: No such file"):
        pictures.read(tmp_path / "gone.jpg")


def test_marks_differ_with_any_byte(shown: Pixels, tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.fromarray(shown).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    marks = set()
    for at in range(54, len(data), 97):
        data[at] ^= 1
        (tmp_path / "a.bmp").write_bytes(data)
        marks.add(pictures.read_header(tmp_path / "a.bmp").mark)
    assert len(marks) == len(range(54, len(data), 97))


def test_a_png_has_the_mark_and_the_pixels_of_earlier_versions(tmp_path: Path) -> None:
    data = pngs.write(pngs.Kind(pngs.RGB, 8, False), pngs.picture(), pngs.turned(6))
    for name in ("000001.png", "a.PNG"):
        (tmp_path / name).write_bytes(data)
        assert pictures.read_header(tmp_path / name) == png.read_header(tmp_path / name)
        assert np.array_equal(pictures.read(tmp_path / name), pngs.picture())
