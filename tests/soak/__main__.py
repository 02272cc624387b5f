"""`python -m soak`, which `make soak` runs: see `parts`."""

import sys

from soak import parts  # its own module: processes cannot import what stands in a __main__

if __name__ == "__main__":
    sys.exit(parts.main())
