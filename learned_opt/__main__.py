"""`python -m learned_opt`, and what is installed as `learned-opt`."""

import sys

from learned_opt.core.extras import needed_for


def main() -> None:
    """Runs the command line, or says what it lacks."""
    try:
        with needed_for("the command line", "all"):
            from learned_opt import cli
    except ImportError as error:
        sys.exit(f"learned-opt: {error}")
    cli.main()


if __name__ == "__main__":
    main()
