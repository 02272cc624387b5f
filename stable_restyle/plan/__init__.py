"""Decide which slides there are, which are keyframes, and which is drawn next."""
