"""The schedule alone, on a simulated clock: how close does the rule come to the best there is?

A thousand random films of 1 to 400 scenes on 1 to 64 servers, half of them on servers of one speed,
half on servers of which the fastest is up to four times as fast as the slowest. No run is shorter
than its lower bound: all slides on all servers, or the k longest chains on the k fastest servers,
for any k (chains share no slide here, and k of them keep k servers busy at most).
Target: 1.02 times that bound on average, and the shortest time possible wherever trying
every order can tell which that is: films of up to three scenes of up to four slides, on one to
three servers of one speed.

The rule is measured as it stands: one slide in flight on each server, and nothing lost between.
Beside it, without a target, stands how the pool carries it out: two slides in flight on each, so
that it draws one while the other travels, and travelling takes a twentieth of what a slide takes.
Besides, how often a slide is drawn from one that is no longer in memory.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations, combinations_with_replacement
from math import inf
from pathlib import Path
from statistics import mean

from benchmarks.clock import Clock
from benchmarks.report import Figure, Report, command
from stable_restyle.core.parallel import TICK_S
from stable_restyle.core.records import BackendEstimate, Step
from stable_restyle.plan import scenes
from stable_restyle.plan.schedule import Schedule, estimate

OVER_BOUND = 1.02
FILMS = 1000
SCENES_MAX, SERVERS_MAX = 400, 64
FASTER = 4  # the fastest server than the slowest, at most
SLIDE_S = 10.0  # a slide on the fastest
TRAVEL_S = SLIDE_S / 20  # from an answer to the next request of its chain


@dataclass(frozen=True)
class Simulated:
    """A film drawn on a simulated clock."""

    over_bound: float  # its time
    read_again: float  # previous slides that had to be read from the disk, of all slides


def measure(out: Path, small: bool) -> Report:
    """Simulate every film four times over; try every order for the small ones."""
    chance = random.Random(4)
    films = [random_film(chance) for _ in range(1 if small else FILMS // 2)]
    teams = [chance.randint(1, SERVERS_MAX) for _ in films]
    equal = [[SLIDE_S] * team for team in teams]
    unequal = [[chance.uniform(SLIDE_S, FASTER * SLIDE_S) for _ in range(team)] for team in teams]
    figures: list[Figure] = []
    details: dict[str, object] = {}
    for how, simulate, target in (
        ("", alone, OVER_BOUND),
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
                    note=f"{len(films)} films, {again:.0%} of the slides from one read again",
                ),
                Figure(f"{what}: worst", max(ratios), note=_worst(films, teams, ratios)),
            ]
            details[what] = [asdict(each) for each in runs]
    cases = list(small_cases(2 if small else 4))
    longer = [case for case in cases if estimate(Schedule(case[0]), case[1]) > shortest(*case)]
    figures.append(
        Figure(
            "small films that took longer than they had to",
            len(longer),
            at_most=0,
            note=f"of {len(cases)}",
        )
    )
    return Report("schedule", "The schedule on a simulated clock", figures, details)


def random_film(chance: random.Random) -> list[Step]:
    """Scenes as films have them: most are short, a few are long."""
    lengths = (
        min(max(round(chance.lognormvariate(2.5, 0.8)), 1), 500)
        for _ in range(chance.randint(1, SCENES_MAX))
    )
    return steps_of(lengths)


def steps_of(lengths: Iterator[int] | Sequence[int]) -> list[Step]:
    """The steps of a film with scenes of so many slides."""
    bounds = [0]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    return scenes.all_steps(scenes.find_scenes(bounds, 1))


def alone(steps: Sequence[Step], slide_s: Sequence[float]) -> Simulated:
    """One slide in flight on each server, and nothing lost between two. slide_s: of each server."""
    return _simulate(steps, slide_s, slots=1, travel_s=0.0)


def two_in_flight(steps: Sequence[Step], slide_s: Sequence[float]) -> Simulated:
    """One is drawn while the other travels."""
    return _simulate(steps, slide_s, slots=2, travel_s=TRAVEL_S)


def bound_s(steps: Sequence[Step], slide_s: Sequence[float]) -> float:
    """Seconds that a film takes at least."""
    speeds = sorted((1 / each for each in slide_s), reverse=True)
    chains = sorted(chain_lengths(steps), reverse=True)
    by_chains = (
        sum(chains[:count]) / sum(speeds[:count])
        for count in range(1, min(len(chains), len(speeds)) + 1)
    )
    return max(len(steps) / sum(speeds), *by_chains)


def chain_lengths(steps: Sequence[Step]) -> list[int]:
    """Slides of each chain; the middle counts with the chain down, which is never the shorter."""
    sides = Counter(
        (step.scene, step.previous is None or step.slide < step.previous) for step in steps
    )
    return list(sides.values())


def _simulate(
    steps: Sequence[Step], slide_s: Sequence[float], slots: int, travel_s: float
) -> Simulated:
    """slots: slides in flight on each server; one is drawn, the others wait for it there."""
    schedule = Schedule(steps)
    clock = Clock[int]()  # a server has drawn a slide
    queues: list[deque[Step]] = [deque() for _ in slide_s]
    began = [0.0] * len(slide_s)  # as far as the pool can tell
    free_at = [0.0] * len(slide_s)
    in_memory = Recent(slots * len(slide_s))

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
            return Simulated(clock.now / bound_s(steps, slide_s), in_memory.missed / len(steps))
        looks_up = clock.now + TICK_S if slots > 1 else inf  # as the pool does
        drawn = clock.go(looks_up)
        if drawn is None:
            continue
        began[drawn] = clock.now
        step = queues[drawn].popleft()
        schedule.finish(step)
        in_memory.put(step.slide)


class Recent:
    """The slides used last."""

    def __init__(self, at_hand: int) -> None:
        self.missed = 0
        self._at_hand = at_hand
        self._slides: dict[int, None] = {}

    def use(self, slide: int) -> None:
        """It is wanted."""
        self.missed += slide not in self._slides
        self.put(slide)

    def put(self, slide: int) -> None:
        """It is there now."""
        self._slides.pop(slide, None)
        self._slides[slide] = None
        if len(self._slides) > self._at_hand:
            del self._slides[next(iter(self._slides))]


def small_cases(longest: int) -> Iterator[tuple[list[Step], list[float]]]:
    """Every film of up to three scenes of up to so many slides, on one to three servers."""
    for number in (1, 2, 3):
        for lengths in combinations_with_replacement(range(1, longest + 1), number):
            for servers in (1, 2, 3):
                yield steps_of(lengths), [1.0] * servers


def shortest(steps: Sequence[Step], servers: Sequence[float]) -> int:
    """The fewest rounds in which so many servers can draw all slides, by trying every choice."""
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
