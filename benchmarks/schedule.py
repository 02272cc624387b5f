"""Measure the schedule on a simulated clock: how close is it to the shortest possible run?

A thousand random films of 1 to 400 scenes on 1 to 64 servers, half of them on servers of one speed,
half on servers of which the fastest is up to four times as fast as the slowest. The lower bound of
a run is the time of all slides on all servers, or of the k longest chains on the k fastest servers,
for any k (chains share no slide here, and k of them keep at most k servers busy). Target: 1.02
times that bound on average, and the shortest possible time wherever trying every order can find it:
films of up to three scenes of up to four slides, on one to three servers of one speed.

The rule itself is measured with one slide in flight per server and no time lost between slides.
Also reported, without a target, is how the pool executes it: two slides in flight per server, so
that one is drawn while the other is transferred, which takes a twentieth of the time of a slide.
And what is lost where scenes are known only once they are found, at the speed at which a film of
1280x720 is looked through on two cores. Also reported: how often a slide is drawn from one that is
no longer in memory.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations, combinations_with_replacement, groupby
from math import inf
from operator import attrgetter
from pathlib import Path
from statistics import mean

from benchmarks.clock import Clock
from benchmarks.report import Figure, Report, command
from stable_restyle.core.parallel import TICK_S
from stable_restyle.core.records import BackendEstimate, Step
from stable_restyle.media.parts import LENGTH
from stable_restyle.plan import scenes
from stable_restyle.plan.schedule import Schedule, estimate

OVER_BOUND = 1.02
FILMS = 1000
SCENES_MAX, SERVERS_MAX = 400, 64
FASTER = 4  # at most: speed of the fastest server over that of the slowest
SLIDE_S = 10.0  # per slide on the fastest server
TRAVEL_S = SLIDE_S / 20  # from an answer to the next request of its chain
WRITTEN_PER_S = 25.0  # slides of 1280x720 that FFmpeg encodes on two cores, H.264
FOUND_S = 1 / 70  # for each slide of two frames
_FOUND = -1  # the event that a scene is found; others are numbers of servers


@dataclass(frozen=True)
class Simulated:
    """A film drawn on a simulated clock."""

    over_bound: float  # time over the lower bound
    read_again: float  # share of slides whose previous slide was read from disk
    written_s: float  # from the last slide until the film is encoded, see WRITTEN_PER_S


def measure(out: Path, small: bool) -> Report:
    """Simulate every film six times over; try every order for small ones."""
    chance = random.Random(4)
    films = [random_film(chance) for _ in range(1 if small else FILMS // 2)]
    teams = [chance.randint(1, SERVERS_MAX) for _ in films]
    equal = [[SLIDE_S] * team for team in teams]
    unequal = [[chance.uniform(SLIDE_S, FASTER * SLIDE_S) for _ in range(team)] for team in teams]
    figures: list[Figure] = []
    details: dict[str, object] = {}
    for how, simulate, target in (
        ("", alone, OVER_BOUND),
        (", scenes as they are found", as_found, None),
        (", two in flight, with travel", two_in_flight, None),
    ):
        for speed, servers in (("equal", equal), ("unequal", unequal)):
            with ProcessPoolExecutor() as processes:
                runs = list(processes.map(simulate, films, servers))
            ratios = [each.over_bound for each in runs]
            what = f"over the lower bound, {speed} speeds{how}"
            again = mean(each.read_again for each in runs)
            figures += [
                Figure(
                    f"{what}: mean",
                    mean(ratios),
                    at_most=target,
                    note=f"{len(films)} films, {again:.0%} of slides drawn from one read again",
                ),
                Figure(f"{what}: worst", max(ratios), note=_worst(films, teams, ratios)),
                Figure(
                    f"last slide to the film, {speed} speeds{how}: mean",
                    mean(each.written_s for each in runs),
                    "s",
                    note=f"at {WRITTEN_PER_S:g} slides a second",
                ),
            ]
            details[what] = [asdict(each) for each in runs]
    cases = list(small_cases(2 if small else 4))
    longer = [case for case in cases if estimate(Schedule(case[0]), case[1]) > shortest(*case)]
    figures.append(
        Figure(
            "small films that took longer than necessary",
            len(longer),
            at_most=0,
            note=f"of {len(cases)}",
        )
    )
    return Report("schedule", "The schedule on a simulated clock", figures, details)


def random_film(chance: random.Random) -> list[Step]:
    """Return a film with typical scenes: most are short, a few are long."""
    lengths = (
        min(max(round(chance.lognormvariate(2.5, 0.8)), 1), 500)
        for _ in range(chance.randint(1, SCENES_MAX))
    )
    return steps_of(lengths)


def steps_of(lengths: Iterator[int] | Sequence[int]) -> list[Step]:
    """Return the steps of a film. lengths: of its scenes, in slides."""
    bounds = [0]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    return scenes.all_steps(scenes.find_scenes(bounds, 1))


def alone(steps: Sequence[Step], slide_s: Sequence[float]) -> Simulated:
    """Draw with one slide in flight per server and no time between. slide_s: of each server."""
    return _simulate(steps, slide_s, slots=1, travel_s=0.0)


def as_found(steps: Sequence[Step], slide_s: Sequence[float]) -> Simulated:
    """Draw as `alone` does; each scene is known once the film is looked through so far."""
    return _simulate(steps, slide_s, slots=1, travel_s=0.0, found_s=FOUND_S)


def two_in_flight(steps: Sequence[Step], slide_s: Sequence[float]) -> Simulated:
    """Draw with two slides in flight per server, one of which is transferred."""
    return _simulate(steps, slide_s, slots=2, travel_s=TRAVEL_S)


def bound_s(steps: Sequence[Step], slide_s: Sequence[float]) -> float:
    """Return the lower bound of the time for a film, in seconds."""
    speeds = sorted((1 / each for each in slide_s), reverse=True)
    chains = sorted(chain_lengths(steps), reverse=True)
    by_chains = (
        sum(chains[:count]) / sum(speeds[:count])
        for count in range(1, min(len(chains), len(speeds)) + 1)
    )
    return max(len(steps) / sum(speeds), *by_chains)


def chain_lengths(steps: Sequence[Step]) -> list[int]:
    """Return the slides of each chain; the middle is in the chain down, which is never shorter."""
    sides = Counter(
        (step.scene, step.previous is None or step.slide < step.previous) for step in steps
    )
    return list(sides.values())


def _simulate(
    steps: Sequence[Step],
    slide_s: Sequence[float],
    slots: int,
    travel_s: float,
    found_s: float = 0.0,
) -> Simulated:
    """Simulate a run.

    slots: slides in flight per server, of which one is drawn. found_s: for each slide, until its
    scene is known; 0 if all are known from the beginning.
    """
    clock = Clock[int]()  # an event is the server that has drawn a slide, or _FOUND
    schedule = Schedule(() if found_s else steps)
    coming = deque(list(its) for _, its in groupby(steps, attrgetter("scene")) if found_s)
    found = 0
    for its in coming:
        found += len(its)
        clock.set(found * found_s, _FOUND)
    queues: list[deque[Step]] = [deque() for _ in slide_s]
    began = [0.0] * len(slide_s)  # as the pool sees it
    free_at = [0.0] * len(slide_s)
    in_memory = Recent(slots * len(slide_s))
    drawn_at: dict[int, float] = {}

    def estimates() -> list[BackendEstimate]:
        return [
            BackendEstimate(number, 1, slots, takes_s, clock.now - began[number])
            for number, takes_s in enumerate(slide_s)
        ]

    while True:
        while given := schedule.take(estimates()):
            step, server = given
            if not queues[server]:
                began[server] = clock.now
            queues[server].append(step)
            free_at[server] = max(free_at[server], clock.now + travel_s) + slide_s[server]
            clock.set(free_at[server], server)
            if step.previous is not None:
                in_memory.use(step.previous)
        if not clock:
            return Simulated(
                clock.now / bound_s(steps, slide_s),
                in_memory.missed / len(steps),
                written_s(drawn_at) - clock.now,
            )
        looks_up = clock.now + TICK_S if slots > 1 else inf  # as the pool does
        drawn = clock.go(looks_up)
        if drawn is None:
            continue
        if drawn == _FOUND:
            schedule.add(coming.popleft())
            continue
        began[drawn] = clock.now
        step = queues[drawn].popleft()
        schedule.finish(step)
        in_memory.put(step.slide)
        drawn_at[step.slide] = clock.now


def written_s(drawn_at: Mapping[int, float]) -> float:
    """Return when the last part of a film is encoded, each once its slides are drawn."""
    parts: dict[int, list[float]] = defaultdict(list)
    for slide, at_s in drawn_at.items():
        parts[slide // LENGTH].append(at_s)
    clock = 0.0
    for finished in sorted(parts.values(), key=max):
        clock = max(clock, max(finished)) + len(finished) / WRITTEN_PER_S
    return clock


class Recent:
    """The slides used most recently."""

    def __init__(self, capacity: int) -> None:
        self.missed = 0
        self._capacity = capacity
        self._slides: dict[int, None] = {}

    def use(self, slide: int) -> None:
        """Count a miss if a slide is not in memory, and put it there."""
        self.missed += slide not in self._slides
        self.put(slide)

    def put(self, slide: int) -> None:
        """Put a slide in memory; drop the least recently used one."""
        self._slides.pop(slide, None)
        self._slides[slide] = None
        if len(self._slides) > self._capacity:
            del self._slides[next(iter(self._slides))]


def small_cases(longest: int) -> Iterator[tuple[list[Step], list[float]]]:
    """Yield all films of up to three scenes of up to `longest` slides, on one to three servers."""
    for number in (1, 2, 3):
        for lengths in combinations_with_replacement(range(1, longest + 1), number):
            for servers in (1, 2, 3):
                yield steps_of(lengths), [1.0] * servers


def shortest(steps: Sequence[Step], servers: Sequence[float]) -> int:
    """Return the fewest rounds in which servers can draw all slides, by trying every choice."""
    everything = frozenset(step.slide for step in steps)

    @cache
    def rounds(drawn: frozenset[int]) -> int:
        if drawn == everything:
            return 0
        ready = [
            step.slide
            for step in steps
            if step.slide not in drawn and (step.previous is None or step.previous in drawn)
        ]
        choices = combinations(ready, min(len(servers), len(ready)))
        return 1 + min(rounds(drawn.union(choice)) for choice in choices)

    return rounds(frozenset())


def _worst(films: Sequence[Sequence[Step]], teams: Sequence[int], ratios: Sequence[float]) -> str:
    at = max(range(len(ratios)), key=ratios.__getitem__)
    film = films[at]
    return f"{len({step.scene for step in film})} scenes, {len(film)} slides, {teams[at]} servers"


def main() -> None:
    command({"schedule": measure}, __doc__)


if __name__ == "__main__":
    main()
