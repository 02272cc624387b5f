"""`python -m stable_restyle`."""

from stable_restyle.cli import main

main()
