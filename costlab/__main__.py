"""``python -m costlab`` is the ``costlab`` command."""

from costlab.cli import main

if __name__ == "__main__":
    main()
