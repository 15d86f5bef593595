"""`python -m maskworks`: the command line, where its script is not on the path."""

from maskworks.cli.main import main

if __name__ == "__main__":
    main()
