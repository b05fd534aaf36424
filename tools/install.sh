#!/bin/sh
# Installs the project into .venv with the releases of requirements.lock. `make install` calls it.
# On Linux without an NVIDIA driver it takes torch's CPU build, which spares some 3 GB.
set -eu
cd "$(dirname "$0")/.."

find_python() {
    for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    return 1
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || {
        echo "install: no Python 3.11 or newer was found; install one, or name it: make install PYTHON=/path/to/python" >&2
        exit 1
    }
    echo "install: making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || {
        echo "install: $python cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
fi

pip() {
    .venv/bin/python -m pip --disable-pip-version-check "$@"
}

if [ "$(uname -s)" = Linux ] && ! nvidia-smi >/dev/null 2>&1; then
    torch=$(sed -n 's/^torch==\([^+]*\).*/\1/p' requirements.lock)
    if ! .venv/bin/python -c "import importlib.metadata as m, sys; sys.exit(m.version('torch') != '$torch+cpu')" 2>/dev/null; then
        echo "install: no NVIDIA driver here, so torch $torch comes as its CPU build"
        pip install --quiet --no-deps "torch==$torch+cpu" 2>/dev/null ||
            pip install --quiet --no-deps --index-url https://download.pytorch.org/whl/cpu "torch==$torch+cpu"
    fi
fi

echo "install: taking the releases of requirements.lock; this needs a few minutes"
pip install --quiet -c requirements.lock -e '.[dev,notebook,tracking]'
touch .venv/.installed
