"""`python -m services.cli`, the same as `primum`."""

from services.cli.app import main

main()
