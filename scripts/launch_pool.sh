#!/usr/bin/env bash
# Set everything up and serve: one command from a fresh clone to a running control plane.
# Usage: scripts/launch_pool.sh [FLAGS OF THE CONTROL PLANE]     (--help lists them)
#        scripts/launch_pool.sh --demo [FLAGS OF THE DEMO]
# Works from any folder. See scripts/venv.sh for PYTHON and COMFYTRICKLE_TORCH_INDEX.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/scripts/venv.sh"
ensure_venv

if [ "${1:-}" = "--demo" ]; then
    shift
    exec "$root/.venv/bin/python" -m comfytrickle.cli.main demo "$@"
fi
exec "$root/.venv/bin/python" -m control_plane "$@"
