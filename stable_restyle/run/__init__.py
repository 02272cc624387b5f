"""What one command does: a run, a batch, a redo, a measurement."""
