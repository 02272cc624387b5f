"""The schedule alone, on a simulated clock: how close does the rule come to the best there is?

A thousand random films of 1 to 400 scenes on 1 to 64 servers, half of them on servers of one speed,
half on servers of which the fastest is up to four times as fast as the slowest. No run is shorter
than its lower bound, the larger of total work / total speed and longest chain / fastest speed.
Target of issue 4: 1.02 times that bound on average, and the shortest time possible wherever trying
every order can tell which that is: films of up to three scenes of up to four slides, on one to
three servers of one speed.

The rule is measured as it stands: a server that is free takes the next slide. Beside it, without a
target, stands how the pool carries it out: two slides in flight on each server, the second waiting
there for the first; a new one goes to where the fewest are.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, combinations_with_replacement, count
from pathlib import Path
from statistics import mean

from benchmarks.report import Figure, Report, command
from stable_restyle import scenes
from stable_restyle.model import Step
from stable_restyle.schedule import Schedule

OVER_BOUND = 1.02
FILMS = 1000
SCENES_MAX, SERVERS_MAX = 400, 64
FASTER = 4  # the fastest server than the slowest, at most


def measure(out: Path, small: bool) -> Report:
    """Simulate every film four times over; try every order for the small ones."""
    chance = random.Random(4)
    films = [random_film(chance) for _ in range(6 if small else FILMS // 2)]
    teams = [chance.randint(1, SERVERS_MAX) for _ in films]
    equal = [[1.0] * team for team in teams]
    unequal = [[chance.uniform(1, FASTER) for _ in range(team)] for team in teams]
    figures: list[Figure] = []
    details: dict[str, object] = {}
    for slots, how, target in ((1, "", OVER_BOUND), (2, ", two in flight", None)):
        for speed, servers in (("equal", equal), ("unequal", unequal)):
            ratios = [over_bound(*case, slots) for case in zip(films, servers, strict=True)]
            what = f"over the lower bound, {speed} speeds{how}"
            figures += [
                Figure(f"{what}: mean", mean(ratios), at_most=target, note=f"{len(films)} films"),
                Figure(f"{what}: worst", max(ratios), note=_worst(films, teams, ratios)),
            ]
            details[what] = ratios
    cases = list(small_cases(2 if small else 4))
    longer = [case for case in cases if simulate(*case, 1) > shortest(*case)]
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
    return [step for scene in scenes.find_scenes(bounds, 1) for step in scenes.steps(scene)]


def over_bound(steps: Sequence[Step], servers: Sequence[float], slots: int) -> float:
    """How long a film takes, by the least that it could. servers: seconds a slide of each."""
    speeds = [1 / seconds for seconds in servers]
    longest = Schedule(steps).longest_chain
    return simulate(steps, servers, slots) / max(len(steps) / sum(speeds), longest / max(speeds))


def simulate(steps: Sequence[Step], servers: Sequence[float], slots: int) -> float:
    """Seconds until every slide is drawn.

    servers: seconds a slide of each. slots: slides in flight on each; one is drawn, the others wait
    for it there. A slide goes where the fewest are in flight; of equals, where it has been so for
    longest.
    """
    schedule = Schedule(steps)
    clock, turn = 0.0, count()
    free = [(0, next(turn), server) for server in range(len(servers))]  # in flight, since when
    queues: list[deque[Step]] = [deque() for _ in servers]
    ends: list[tuple[float, int]] = []  # time, server
    while True:
        while free and (step := schedule.take()):
            in_flight, _, server = heapq.heappop(free)
            queues[server].append(step)
            if in_flight == 0:
                heapq.heappush(ends, (clock + servers[server], server))
            if in_flight + 1 < slots:
                heapq.heappush(free, (in_flight + 1, next(turn), server))
        if not ends:
            return clock
        clock, server = heapq.heappop(ends)
        schedule.finish(queues[server].popleft())
        left = len(queues[server])
        if left:
            heapq.heappush(ends, (clock + servers[server], server))
        free = [each for each in free if each[2] != server]
        free.append((left, next(turn), server))
        heapq.heapify(free)


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
