"""Move slides as the input frames move."""
