"""`python -m benchmarks`: runs suites, draws reports, compares results."""

import sys

from benchmarks.commands import main

if __name__ == "__main__":
    main(sys.argv[1:])
