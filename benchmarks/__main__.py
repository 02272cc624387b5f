"""Every benchmark, one after the other: `make bench`. Takes about ten minutes."""

from benchmarks import bookkeeping, memory, schedule, speed, split, startup
from benchmarks.report import command

MODULES = (startup, split, schedule, bookkeeping, memory, speed)

if __name__ == "__main__":
    command({module.__name__.rpartition(".")[2]: module.measure for module in MODULES}, __doc__)
