"""`python -m api.cli`, where the command is not installed."""

from api.cli import main

main()
