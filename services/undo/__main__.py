"""`python -m services.undo`."""

import sys

from services.undo.app import main

if __name__ == "__main__":
    sys.exit(main())
