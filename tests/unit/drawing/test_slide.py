"""What is kept at hand while slides are drawn, and how many guides are made at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Semaphore

import numpy as np
import pytest
from support.programs import LONGEST_S

from stable_restyle.core.cache import LRUCache
from stable_restyle.core.records import Job, Pixels, Slide, Step
from stable_restyle.drawing.slide import Prepared, SlideDrawer
from stable_restyle.drawing.store import SlideStore
from stable_restyle.media.sequence import Frames
from stable_restyle.motion.codec import CodecMotion


def test_what_two_want_at_once_is_made_once() -> None:
    begun, go_on = Event(), Event()
    made: list[int] = []

    def make(index: int) -> str:
        made.append(index)
        begun.set()
        assert go_on.wait(LONGEST_S)
        return str(index)

    shelf = LRUCache(make, size=1)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(shelf.get, 7)
        assert begun.wait(LONGEST_S)
        second = threads.submit(shelf.get, 7)
        go_on.set()
        assert (first.result(), second.result()) == ("7", "7")
    assert made == [7]
    assert shelf.get(8) == "8" and shelf.get(7) == "7"  # 7 had to make room
    assert made == [7, 8, 7]


def test_what_could_not_be_made_is_tried_again() -> None:
    answers = iter([OSError("no such frame"), None])

    def make(index: int) -> int:
        if error := next(answers):
            raise error
        return index

    shelf = LRUCache(make, size=2)
    with pytest.raises(OSError, match="no such frame"):
        shelf.get(3)
    assert shelf.get(3) == 3


@dataclass
class Meeting:
    """A motion whose first warp begins, and goes on when it is let."""

    begun: list[int] = field(default_factory=list)
    first: Event = field(default_factory=Event)
    go_on: Event = field(default_factory=Event)

    def mask(self, strength: float, grow_px: int) -> Pixels:
        raise AssertionError("it is prepared already")

    def warp(self, sources: Sequence[Pixels]) -> Pixels:
        self.begun.append(int(sources[0][0, 0, 0]))
        self.first.set()
        assert self.go_on.wait(LONGEST_S)
        return sources[0]


def test_no_more_guides_are_made_at_once_than_there_are_slots(tmp_path: Path) -> None:
    picture = np.full((8, 8, 3), 7, np.uint8)
    store = SlideStore(tmp_path, 8, 8, in_memory=1)
    store.add(1, Slide(picture))
    meeting, asked = Meeting(), list[int]()

    def ask(job: Job, backend: int) -> Slide:
        asked.append(job.slide)
        return Slide(job.guide)

    artist = SlideDrawer(
        frames=Frames(tmp_path, 3, 8, 8, marks=()),
        frames_per_slide=1,
        motion=CodecMotion(),
        mask_strength=2,
        mask_size=1,
        drift=None,
        ask=ask,
        store=store,
        slide_frames=LRUCache(lambda _: picture, size=1),
        flow_pairs=LRUCache(lambda _: pytest.fail("flow was not asked for"), size=1),
        warp_slots=Semaphore(1),
        steps_folder=None,
    )
    mask = np.full((8, 8), 255, np.uint8)
    prepared = [Prepared(picture, mask, meeting) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        draws = [
            threads.submit(artist.draw, Step(slide, 1, previous=1), its, 0)
            for slide, its in zip((0, 2), prepared, strict=True)
        ]
        assert meeting.first.wait(LONGEST_S)
        assert not meeting.go_on.wait(0.1)  # time enough for the other one to begin
        assert len(meeting.begun) == 1 and asked == []
        meeting.go_on.set()
        for each in draws:
            each.result()
    assert sorted(asked) == [0, 2] and meeting.begun == [7, 7]
    assert [its.estimate for its in prepared] == [None, None]  # of no more use: let go
