"""A batch of pictures is one file, which others read as the same pictures."""

from __future__ import annotations

from io import BytesIO

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from stable_restyle.core.records import Pixels
from stable_restyle.media import apng


def pictures(count: int) -> list[Pixels]:
    chance = np.random.default_rng(count)
    made = [chance.integers(0, 256, (17, 23, 3), np.uint8) for _ in range(count)]
    if count > 2:
        made[2] = made[1]  # equal neighbours stay two
    return made


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pillow_reads_the_pictures(count: int) -> None:
    file, made = BytesIO(), pictures(count)
    apng.write(file, made, count)
    with Image.open(file) as image:
        read = [np.array(each.convert("RGB")) for each in ImageSequence.Iterator(image)]
    assert len(read) == count
    assert all(map(np.array_equal, read, made))


@pytest.mark.parametrize("count", [1, 5])
def test_pyav_reads_the_pictures(count: int) -> None:
    """As ComfyUI does since 2026."""
    file, made = BytesIO(), pictures(count)
    apng.write(file, made, count)
    file.seek(0)
    with av.open(file, "r") as container:
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(read) == count
    assert all(map(np.array_equal, read, made))


def test_a_batch_is_its_file_in_pieces_and_can_be_read_again() -> None:
    file = BytesIO()
    batch = apng.write(file, [np.zeros((600, 600, 3), np.uint8)] * 2, 2)
    for _ in range(2):
        assert b"".join(batch) == file.getvalue()
    assert len(batch) == len(file.getvalue())


def test_the_digest_is_of_the_pictures() -> None:
    def digest(made: list[Pixels]) -> bytes:
        return apng.write(BytesIO(), made, len(made)).digest

    made = pictures(5)
    others = [made[:4], [*made[1:], made[0]], [each.reshape(23, 17, 3) for each in made]]
    assert digest(made) == digest([each.copy() for each in made])
    assert len({digest(made), *map(digest, others)}) == 4
