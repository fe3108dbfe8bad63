"""``python -m control_plane``: the server.

Everything is imported inside ``main``: every worker process imports this module again under
another name, and must not get more than its functions.
"""

from __future__ import annotations


def main() -> int:
    """Serve until SIGTERM or SIGINT. Exit status: 0 ended as asked, 1 failed, 2 wrong usage."""
    import sys

    from control_plane.settings import SettingsError, load

    try:
        import os

        settings = load(sys.argv[1:], os.environ)
        from control_plane.server import run  # after the flags: --help need not load aiohttp

        return run(settings)
    except SettingsError as error:
        print(f"control_plane: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    import sys

    sys.exit(main())
