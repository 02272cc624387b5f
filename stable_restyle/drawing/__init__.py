"""Draw the slides of a run on threads of this machine."""
