"""`python -m benchmarks.release NAME [RUN] [--words]`."""

import sys

from benchmarks.release import release

if __name__ == "__main__":
    words_only = "--words" in sys.argv
    match [word for word in sys.argv[1:] if word != "--words"]:
        case [name, *run] if len(run) < 2:
            print(release.release(name, *run, words_only=words_only).render())
        case _:
            print(release.__doc__)
