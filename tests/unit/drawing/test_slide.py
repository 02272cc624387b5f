"""Test the cache of drawn pictures, and how many guides are made at once."""

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
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.motion.codec import CodecMotion


def test_concurrent_callers_share_one_computation() -> None:
    begun, go_on = Event(), Event()
    made: list[int] = []

    def make(index: int) -> str:
        made.append(index)
        begun.set()
        assert go_on.wait(LONGEST_S)
        return str(index)

    cache = LRUCache(make, size=1)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(cache.get, 7)
        assert begun.wait(LONGEST_S)
        second = threads.submit(cache.get, 7)
        go_on.set()
        assert (first.result(), second.result()) == ("7", "7")
    assert made == [7]
    assert cache.get(8) == "8" and cache.get(7) == "7"  # 7 had to make room
    assert made == [7, 8, 7]


def test_a_failed_computation_is_tried_again() -> None:
    answers = iter([OSError("no such frame"), None])

    def make(index: int) -> int:
        if error := next(answers):
            raise error
        return index

    cache = LRUCache(make, size=2)
    with pytest.raises(OSError, match="no such frame"):
        cache.get(3)
    assert cache.get(3) == 3


@dataclass
class PausedEstimate:
    """A motion estimate whose warps wait for an event."""

    begun: list[int] = field(default_factory=list)
    first: Event = field(default_factory=Event)
    go_on: Event = field(default_factory=Event)

    def mask(self, strength: float, grow_px: int) -> Pixels:
        raise AssertionError("it is prepared already")

    def warp_mask(self, masks: Sequence[Pixels]) -> Pixels:
        raise AssertionError("nothing restricts the mask")

    def warp(self, sources: Sequence[Pixels]) -> Pixels:
        self.begun.append(int(sources[0][0, 0, 0]))
        self.first.set()
        assert self.go_on.wait(LONGEST_S)
        return sources[0]


def test_no_more_guides_are_made_at_once_than_there_are_slots(tmp_path: Path) -> None:
    picture = np.full((8, 8, 3), 7, np.uint8)
    store = SlideStore(tmp_path, (8, 8), in_memory=1)
    store.add(1, Slide(picture))
    estimate, asked = PausedEstimate(), list[int]()

    def ask(job: Job, backend: int) -> Slide:
        asked.append(job.slide)
        return Slide(job.guide)

    drawer = SlideDrawer(
        frames=FrameFolder(tmp_path, 3, 8, 8, marks=()),
        frames_per_slide=1,
        motion=CodecMotion(),
        mask_strength=2,
        mask_size=1,
        anchor=0,
        drift=None,
        ask=ask,
        references=lambda _: {},
        store=store,
        answers=store.get,
        slide_frames=LRUCache(lambda _: picture, size=1),
        subjects=None,
        flow_pairs=LRUCache(lambda _: pytest.fail("flow was not asked for"), size=1),
        warp_slots=Semaphore(1),
        steps_folder=None,
    )
    mask = np.full((8, 8), 255, np.uint8)
    prepared = [Prepared(picture, mask, estimate, None) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        draws = [
            threads.submit(drawer.draw, Step(slide, 1, previous=1), each, 0)
            for slide, each in zip((0, 2), prepared, strict=True)
        ]
        assert estimate.first.wait(LONGEST_S)
        assert not estimate.go_on.wait(0.1)  # time enough for the other one to begin
        assert len(estimate.begun) == 1 and asked == []
        estimate.go_on.set()
        for each in draws:
            each.result()
    assert sorted(asked) == [0, 2] and estimate.begun == [7, 7]
    assert [each.estimate for each in prepared] == [None, None]  # freed before the slide is drawn
