#!/usr/bin/env bash
# Set everything up and serve: one command from a fresh clone to a running control plane.
# Usage: scripts/launch_pool.sh [FLAGS OF THE CONTROL PLANE]     (--help lists them)
#        scripts/launch_pool.sh --demo [FLAGS OF THE DEMO]       (--demo --help, likewise)
# Works from any folder. See scripts/venv.sh for PYTHON and COMFYTRICKLE_TORCH_INDEX.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/scripts/venv.sh"
ensure_venv

flags=() demo="" help=""
for flag in "$@"; do
    case "$flag" in
        --demo) demo=1 ;;
        -h | --help) help=1 flags+=("$flag") ;;
        *) flags+=("$flag") ;;
    esac
done
set -- ${flags[@]+"${flags[@]}"} # bash before 4.4 takes an empty array for an unset variable
# The name that was typed, for the usage lines.
export COMFYTRICKLE_COMMAND="$0${demo:+ --demo}"
if [ -n "$demo" ]; then
    exec "$root/.venv/bin/python" -m comfytrickle.cli.main demo "$@"
fi
if [ -n "$help" ]; then
    echo "scripts/launch_pool.sh [FLAGS]         the control plane, with these flags:"
    echo "scripts/launch_pool.sh --demo [FLAGS]  a test stream; its flags: --demo --help"
    echo
fi
exec "$root/.venv/bin/python" -m control_plane "$@"
