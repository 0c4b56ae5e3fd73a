"""`python -m services.diagnoser`."""

import sys

from services.diagnoser.app import main

sys.exit(main())
