"""`python -m ishibumi` and the `ishibumi` command."""

from ishibumi.cli import main

if __name__ == "__main__":
    main()
