#!/bin/sh
# usage: tools/find_python.sh NAME|VERSION...
# Prints the path of the first of these Pythons (`python3`, `3.12`, a path) that starts, is new enough and can make a venv.
set -u

works() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# All of that name on the PATH: a shim of pyenv or asdf may be the first, and not start.
places() {
    case $1 in
        */*) echo "$1" ;;
        *) echo "$PATH" | tr : '\n' | sed "s|\$|/$1|" ;;
    esac
}

# A shim starts only the versions that are chosen; pyenv has the others in folders of their own.
of_pyenv() {
    folder=$(pyenv prefix "$1" 2>/dev/null) && echo "$folder/bin/python3"
}

for wanted in "$@"; do
    case $wanted in
        [0-9]*) name="python$wanted" ;;
        *) name=$wanted ;;
    esac
    places "$name" | while read -r python; do
        if works "$python"; then
            echo "$python"
            break
        fi
    done | grep . && exit
    version=${name#python}
    if python=$(of_pyenv "$version") && works "$python"; then
        echo "$python"
        exit
    fi
done
exit 1
