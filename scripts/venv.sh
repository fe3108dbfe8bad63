# Sourced by the other scripts, not run: ensure_venv [EXTRA]
#
# Makes .venv in the repository root when there is none, and installs the project into it when it
# is new or when what decides about its content has changed. Safe to run several times at once.
#   PYTHON                    the interpreter to make it with (python3)
#   COMFYTRICKLE_TORCH_INDEX  a pip index for torch alone, such as one with CPU builds
# shellcheck shell=bash

ensure_venv() {
    local root
    root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
    if ! command -v flock >/dev/null; then
        echo "flock is needed (Debian, Ubuntu: apt-get install util-linux)" >&2
        return 1
    fi
    # The folder itself is the lock: nothing is left behind, and .venv need not exist yet.
    (cd "$root" && flock 9 && _venv_up_to_date "${1:-}") 9<"$root"
}

_venv_up_to_date() {
    local extra="$1" stamp=.venv/.comfytrickle-installed wanted target="." had
    if [ ! -x .venv/bin/python ]; then
        _venv_make || return 1
    elif [ ! -f "$stamp" ] && ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        _venv_make || return 1 # the last attempt was cut off half-way
    elif ! _python_is_new_enough .venv/bin/python; then
        echo "$PWD/.venv was made with $(.venv/bin/python --version); remove it to have a new one" >&2
        return 1
    fi
    wanted="$(sha256sum setup.cfg pyproject.toml constraints.txt; echo "${COMFYTRICKLE_TORCH_INDEX:-}")"
    wanted="$(sha256sum <<<"$wanted" | cut -d' ' -f1)"
    # The stamp: what was installed, then the extras that it was installed with.
    if [ -f "$stamp" ] && read -r -a had <"$stamp" && [ "${had[0]}" = "$wanted" ]; then
        case " ${had[*]:1} " in *" $extra "* | *" dev "*) return 0 ;; esac
        [ -n "$extra" ] || return 0
    fi
    echo "installing into $PWD/.venv ${extra:+(with $extra)} ..." >&2
    rm -f "$stamp"
    if [ -n "${COMFYTRICKLE_TORCH_INDEX:-}" ]; then
        .venv/bin/python -m pip install -q -c constraints.txt \
            --index-url "$COMFYTRICKLE_TORCH_INDEX" torch || return 1
    fi
    [ -z "$extra" ] || target=".[$extra]"
    .venv/bin/python -m pip install -q -c constraints.txt -e "$target" || return 1
    echo "$wanted $extra" >"$stamp"
}

_venv_make() {
    local python="${PYTHON:-python3}"
    if ! command -v "$python" >/dev/null; then
        echo "Python 3.10 or newer is needed; there is no $python (PYTHON= names another)" >&2
        return 1
    fi
    if ! _python_is_new_enough "$python"; then
        echo "Python 3.10 or newer is needed; $python is $("$python" --version 2>&1)" \
            "(PYTHON= names another)" >&2
        return 1
    fi
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$python cannot make virtual environments" \
            "(Debian, Ubuntu: apt-get install python3-venv)" >&2
        return 1
    fi
    echo "making $PWD/.venv ..." >&2
    "$python" -m venv --clear .venv
}

_python_is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))'
}
