"""python -m autograder: see `command_line`. Where something will be graded, the sandbox's libraries load while ours do."""

import sys

from autograder import sandbox

if sys.argv[1:2] in (["grade"], ["try"]):
    sandbox.warm_up()

from autograder.command_line import main  # the import that takes the time

if __name__ == "__main__":
    raise SystemExit(main())
