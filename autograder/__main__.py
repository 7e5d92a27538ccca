"""python -m autograder: see `command_line`. Where something will be graded, the sandbox's libraries load while ours do."""

import sys

from autograder import sandbox

if sys.argv[1:2] in (["grade"], ["try"]):
    sandbox.warm_up()
    # jsonschema builds a grammar for addresses where it finds this package, for over a second; notebooks have no such field to check.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from autograder.command_line import main  # the import that takes the time

if __name__ == "__main__":
    raise SystemExit(main())
