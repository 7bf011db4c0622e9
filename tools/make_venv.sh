#!/bin/sh
# usage: tools/make_venv.sh run|dev
# Makes .venv where there is none, and installs one hash-locked set and this project into it.
set -eu
cd "$(dirname "$0")/.."
lock="requirements/$1.txt"

new_enough() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "hms-svc needs Python 3.11 or newer with its venv module, and found none." >&2
    echo "Install one (on Debian and Ubuntu also python3-venv), or name it: make PYTHON=/path/to/python3" >&2
    exit 1
}

if ! new_enough .venv/bin/python; then
    python=$(find_python)
    echo "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

pip() {
    .venv/bin/python -m pip --disable-pip-version-check -qq "$@"
}

echo "installing $lock"
pip install --require-hashes --no-deps -r "$lock"
pip install --no-deps --no-build-isolation --editable .
touch ".venv/.$1.stamp"
