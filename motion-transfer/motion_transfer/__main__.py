"""Run `python -m motion_transfer`."""

from motion_transfer.cli import main

main()
