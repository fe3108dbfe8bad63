#!/usr/bin/env bash
# Run every check this project has: format, lint, types, import contracts, tests.
# Usage: scripts/test.sh [PYTEST ARGUMENTS]   (with arguments: pytest alone, with those)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/venv.sh
ensure_venv dev

if [ $# -gt 0 ]; then
    exec .venv/bin/python -m pytest "$@"
fi
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports
# What must keep pace with live video, and lose nothing, needs the machine to itself.
.venv/bin/python -m pytest -m realtime
.venv/bin/python -m pytest -m "not realtime" -n "${TEST_WORKERS:-3}" --dist loadfile
