"""`python -m services.mitigator`."""

import sys

from services.mitigator.app import main

if __name__ == "__main__":
    sys.exit(main())
