#!/bin/sh
# Makes the virtual environment of the Makefile, or returns at once where it is as the lock file wants it.
#
#     sh requirements/install.sh VENV [PYTHON]
#
# PYTHON is the interpreter that a person asked for by name. Without one, an environment that exists is kept,
# whichever Python it was made with, and a new one is made with python3.
#
# This part is in sh because it has to work, and to say what is wrong, where there is no Python that can.
set -eu

here=${0%/*}
venv=$1
python=${2:-python3}
version='import sys; print(sys.version)'

fail() {
    printf '\nSet-up stopped: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

# An environment that does not start, of a Python that is gone for instance, is made again.
if [ -x "$venv/bin/python" ]; then
    wanted=
    if [ $# -gt 1 ]; then wanted=$("$python" -ISc "$version" 2>/dev/null) || wanted=none; fi
    if "$venv/bin/python" -ISB "$here/current.py" "$venv" ${wanted:+"$wanted"} 2>/dev/null; then exit 0; fi
fi

newer=
for candidate in python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -ISc 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        newer=$candidate
        break
    fi
done
if [ -n "$newer" ]; then
    advice="$newer is installed here: run  make PYTHON=$newer  followed by the target."
else
    advice='Install Python 3.11 or newer; if it has another name: run  make PYTHON=python3.12  followed by the target.'
fi

# Without -I, which a Python 2 does not know.
found=$("$python" -Sc 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) ||
    fail "there is no Python called $python that starts." "$advice"
"$python" -Sc 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(command -v "$python") is Python $found, and 3.11 or newer is needed." "$advice"
"$python" -Ic 'import ensurepip, venv' 2>/dev/null ||
    fail "$python (Python $found) has no venv and ensurepip modules, which make the environment." \
        'Debian and Ubuntu have them in a package of their own:  apt install python3-venv' \
        "Then run make again. With another Python: make PYTHON=python3.12"

exec "$python" -IB "$here/install.py" "$venv"
