"""Programs that tests start have default signals, however the tests were started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support.programs import ENDINGS, LONGEST_S, Program, default_signals

WAITING = [sys.executable, "-S", "-c", "print('here', flush=True); import time; time.sleep(1e6)"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no signals that a program inherits")
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_signal_that_the_tests_ignore_ends_a_program_that_they_start(ending: str) -> None:
    number = getattr(signal, ending)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with (
            default_signals(),
            Program(WAITING, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program,
        ):
            assert program.stdout is not None and program.stdout.readline() == "here\n"
            program.send_signal(number)
            assert program.wait(LONGEST_S) == -number
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
