"""`python -m nrtctl`: the same as the `nrtctl` command."""

from nrtctl.cli import main

if __name__ == "__main__":
    main()
