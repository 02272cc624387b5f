"""Read the pictures of --drawn, which slides are composed from in place of a model's answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import arrays
from stable_restyle.media.sequence import FrameFolder


@dataclass(frozen=True)
class DrawnPictures:
    """A folder of pictures: one for each slide, or one for each frame."""

    pictures: FrameFolder
    every: int  # number of pictures per slide, of which the first is shown
    width: int  # of the frames, to which pictures are scaled
    height: int

    def absolute(self) -> DrawnPictures:
        """Return the same pictures with an absolute path: a worker may run in another folder."""
        return replace(
            self, pictures=replace(self.pictures, folder=self.pictures.folder.absolute())
        )

    def without_marks(self) -> DrawnPictures:
        """Return what `read` needs."""
        return replace(self, pictures=replace(self.pictures, marks=()))

    def mark(self, slide: int) -> str:
        """Return the mark of the picture of a slide."""
        return self.pictures.marks[slide * self.every]

    def read(self, slide: int) -> Pixels:
        """Return the picture of a slide: (H, W, 3) RGB. Raises UnusableInput."""
        return arrays.fit(self.pictures.read(slide * self.every), self.width, self.height)
