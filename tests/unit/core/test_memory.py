"""Memory does not grow with the threads of a run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# malloc_info(3) lists every heap of glibc.
PROGRAM = """
import ctypes
from threading import Barrier, Thread

from stable_restyle.core import memory

if {shared}:
    memory.share()
    memory.share()

together = Barrier(8)

def work():
    together.wait()
    held = [bytes(10_000) for _ in range(100)]
    together.wait()

threads = [Thread(target=work) for _ in range(8)]
for each in threads:
    each.start()
for each in threads:
    each.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def heaps(*, shared: bool) -> int:
    """Return the number of heaps of a process with eight threads."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(shared=shared)],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.count("<heap nr=")


def _is_glibc() -> bool:
    return sys.platform == "linux" and "CS_GNU_LIBC_VERSION" in os.confstr_names


@pytest.mark.skipif(not _is_glibc(), reason="only glibc gives threads heaps of their own")
def test_threads_share_one_heap() -> None:
    assert heaps(shared=False) > 1
    assert heaps(shared=True) == 1
