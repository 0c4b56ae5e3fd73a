"""`python -m services.detector`."""

import gc
import sys

gc.disable()  # until it serves: an import leaves no garbage behind, and to look for some took a fifth of the start

from services.detector.app import main  # noqa: E402 - after that

if __name__ == "__main__":
    sys.exit(main())
