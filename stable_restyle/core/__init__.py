"""Records, errors and helpers that every other package uses."""
