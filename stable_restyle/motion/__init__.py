"""Move a slide the way the input frames move."""
