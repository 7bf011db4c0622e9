#!/bin/sh
# usage: [PYTHON=NAME|VERSION] [VENV=.venv] tools/make_venv.sh run|dev
# Makes the venv where there is none, and installs one hash-locked set and this project into it.
set -eu
cd "$(dirname "$0")/.."
lock="requirements/$1.txt"
venv=${VENV:-.venv}

find_python() {
    # shellcheck disable=SC2086  # one word for each Python
    tools/find_python.sh ${PYTHON:-python3 3.13 3.12 3.11 python} && return
    echo "hms-svc needs Python 3.11 or newer with its venv module, and found none${PYTHON:+ under $PYTHON}." >&2
    echo "Install one (on Debian and Ubuntu also python3-venv), or name it: make PYTHON=/path/to/python3" >&2
    exit 1
}

if ! tools/find_python.sh "$venv/bin/python" >/dev/null; then
    python=$(find_python)
    echo "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check -qq "$@"
}

echo "installing $lock"
pip install --require-hashes --no-deps -r "$lock"
pip install --no-deps --no-build-isolation --editable .
touch "$venv/.$1.stamp"
