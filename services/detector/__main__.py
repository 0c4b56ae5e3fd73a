"""`python -m services.detector`."""

import sys

from services.detector.app import main

if __name__ == "__main__":
    sys.exit(main())
