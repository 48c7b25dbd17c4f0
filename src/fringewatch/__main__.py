"""``python -m fringewatch`` is the command ``fringewatch``."""

from fringewatch.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
