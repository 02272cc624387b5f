"""Interlaced films are recognised by their pictures and become progressive."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import numpy as np
import pytest
from support import clips
from support.media import Split, each_ffmpeg

from stable_restyle.core.records import Pixels


def pan(count: int) -> Pixels:
    """Return a grey texture that moves by 3 pixels each time, (count, 48, 64, 3)."""
    rows, columns = np.mgrid[: clips.HEIGHT, : clips.WIDTH]
    moments = np.arange(count)[:, None, None]
    grey = 128 + 90 * np.sin((columns + 3 * moments) / 4) * np.cos(rows / 5)
    return np.asarray(grey, np.uint8)[..., None].repeat(3, axis=3)


def woven(path: Path, order: str, flag: str) -> Path:
    """Make a film of 20 frames, each woven of two of `pan`. order: top or bottom field first."""
    weave = f"tinterlace=interleave_{order},setfield={flag}"
    return clips.make(path, pan(40), "-vf", weave, *clips.H264, "-flags", "+ilme+ildct")


@each_ffmpeg
@pytest.mark.parametrize(
    ("order", "flag"),
    [
        ("top", "tff"),
        pytest.param("bottom", "bff", marks=pytest.mark.long),
        pytest.param("top", "prog", marks=pytest.mark.long),
        ("top", "bff"),
    ],
)
def test_interlaced_frames_become_the_first_of_their_moments(
    order: str, flag: str, tmp_path: Path, split: Split, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        film, frames = split(woven(tmp_path / "film.mp4", order, flag))
    assert film.rate == 12
    assert len(frames) == 20
    for frame, moment in zip(frames[1:-1], pan(40)[2:-2:2], strict=True):
        assert np.abs(frame.astype(int) - moment).mean() < 3
    assert "film.mp4 is interlaced" in caplog.text


def test_progressive_frames_stay_as_they_are_whatever_their_flag(
    tmp_path: Path, split: Split
) -> None:
    plain = clips.make(tmp_path / "plain.mkv", pan(20), "-c:v", "ffv1")
    flagged = clips.make(tmp_path / "f.mkv", pan(20), "-vf", "setfield=tff", "-c:v", "ffv1")
    with av.open(flagged) as container:
        assert next(container.decode(video=0)).interlaced_frame
    np.testing.assert_array_equal(split(flagged)[1], split(plain)[1])
