"""`python -m maskworks.cli`: the same as `maskworks`."""

from maskworks.cli.main import main

main()
