"""Run every benchmark, one after the other: `make bench`. Takes about half an hour."""

from benchmarks import (
    anchor,
    bookkeeping,
    cluster,
    films,
    memory,
    schedule,
    speed,
    split,
    stability,
    startup,
    steadiness,
)
from benchmarks.report import command

MODULES = (
    startup,
    split,
    schedule,
    bookkeeping,
    memory,
    speed,
    films,
    cluster,
    stability,
    steadiness,
    anchor,
)

if __name__ == "__main__":
    command({module.__name__.rpartition(".")[2]: module.measure for module in MODULES}, __doc__)
