#!/bin/sh
# usage: tools/interop_parts.sh
# Installs what the tests in tests/interop run beside Python packages. Without root and without sudo the packages
# of the system are only named; a test whose part is missing says so and skips, and fails where servers are required.
set -eu
cd "$(dirname "$0")/.."

# command:package, as Debian has them
system="promtool:prometheus nginx:nginx-light chromium-headless-shell:chromium-headless-shell pgbouncer:pgbouncer
systemd-analyze:systemd buildah:buildah debootstrap:debootstrap node:nodejs npm:npm"
missing=""
for pair in $system; do
    PATH="$PATH:/usr/sbin" command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
if [ -n "$missing" ]; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    if command -v apt-get >/dev/null && { [ -z "$as_root" ] || command -v sudo >/dev/null; }; then
        echo "installing$missing"
        $as_root apt-get update -qq
        # shellcheck disable=SC2086  # one word for each package
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
    else
        echo "not here:$missing; install them to run every test (on Debian: sudo apt-get install$missing)"
    fi
fi

# usage: environment NAME: a hash-locked set in an environment of its own, again if its lock has changed;
# with this project if its build is in the set
environment() {
    lock="requirements/$1.txt"
    made=".interop/$1"
    if ! cmp -s "$lock" "$made/$1.txt"; then
        echo "installing $lock"
        rm -rf "$made"
        "${VENV:-.venv}/bin/python" -m venv "$made"
        "$made/bin/python" -m pip --disable-pip-version-check -qq install --require-hashes --no-deps -r "$lock"
        if grep -q ^hatchling "$lock"; then
            "$made/bin/python" -m pip --disable-pip-version-check -qq install --no-deps --no-build-isolation --editable .
        fi
        cp "$lock" "$made/"
    fi
}

# The generator of Python clients wants another typer than ours.
environment generator
# The oldest version of each requirement that pyproject.toml allows.
environment oldest

node=tests/interop/node
if command -v npm >/dev/null && ! cmp -s "$node/package-lock.json" "$node/node_modules/.package-lock.copy"; then
    echo "installing $node/package-lock.json"
    npm ci --prefix "$node" --no-audit --no-fund --loglevel error
    cp "$node/package-lock.json" "$node/node_modules/.package-lock.copy"
fi
