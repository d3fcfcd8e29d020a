"""`python -m confiture`."""

from confiture.cli.app import main

main()
