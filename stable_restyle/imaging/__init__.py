"""Functions of arrays: optical flow, masks, metrics."""
