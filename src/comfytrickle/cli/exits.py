"""Exit statuses of every command."""

from __future__ import annotations

OK = 0
REFUSED = 1  # the server said no, or the thing failed
USAGE = 2  # wrong flags or files; argparse's own
UNREACHABLE = 3  # no answer from the server
