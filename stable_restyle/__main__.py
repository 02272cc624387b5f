"""`python -m stable_restyle`."""

from stable_restyle.cli.main import main

main()
