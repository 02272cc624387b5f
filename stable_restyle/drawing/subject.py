"""Read the masks of --only: which part of each frame is restyled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import subject
from stable_restyle.media import pictures
from stable_restyle.media.naming import OWN, Naming


@dataclass(frozen=True)
class SubjectMasks:
    """A folder with a mask for each frame, in their order."""

    folder: Path
    inverted: bool  # whether black is restyled
    names: Naming = OWN

    def read(self, frame: int) -> Pixels:
        """Return the subject's mask of a frame: (H, W) uint8, 255 is restyled."""
        mask = pictures.read(self.folder / self.names.name(frame))
        return subject.levels(mask, inverted=self.inverted)
