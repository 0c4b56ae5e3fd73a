"""`python -m services.gateway`."""

import gc
import sys

gc.disable()  # an import leaves no garbage behind, and to look for some took a fifth of the start
from services.gateway.app import main  # noqa: E402 - in between

gc.enable()

if __name__ == "__main__":
    sys.exit(main())
