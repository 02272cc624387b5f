"""Read the masks of --only: which part of each frame is restyled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import subject
from stable_restyle.media import png, sequence


@dataclass(frozen=True)
class SubjectMasks:
    """A folder with a mask for each frame, numbered as these."""

    folder: Path
    inverted: bool  # whether black is restyled

    def read(self, frame: int) -> Pixels:
        """Return the subject's mask of a frame: (H, W) uint8, 255 is restyled."""
        picture = png.read(self.folder / sequence.name(frame))
        return subject.levels(picture, inverted=self.inverted)
