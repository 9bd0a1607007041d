#!/bin/sh
# Build .venv from requirements/: find a Python, install the pinned uv, then every pinned package, checked by its hash.
#
#   PYTHON   the interpreter to build on     (default: the first of python3.11, 3.12, 3.13, python3 that fits)
#   TORCH    cpu or cuda, the build of torch (default: cuda where nvidia-smi lists a GPU, else cpu)
#
# Packages come from wherever pip is configured to look; uv is told about pip's index and wheel folders below.
set -eu
cd "$(dirname "$0")/.."

case $PWD in
*[[:space:]\'\"\`\$\;\&\|\(\)\<\>]*) # Snakemake 9.27 does not quote the interpreter's path when it starts a script
    echo "make: Snakemake cannot run scripts below a folder with a space or quote in its path: move $PWD" >&2
    exit 1
    ;;
esac

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
    without_venv=
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.11 python3.12 python3.13 python3; fi
    for candidate in "$@"; do
        if fits "$candidate"; then
            if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
                echo "$candidate"
                return
            fi
            without_venv=$candidate
        fi
    done
    if [ -n "$without_venv" ]; then
        echo "make: $without_venv cannot make virtual environments: install its venv module" \
            "(Debian, Ubuntu: apt-get install python3-venv)" >&2
    else
        echo "make: no Python 3.11, 3.12 or 3.13 found: install one (Debian 12: apt-get install python3 python3-venv)" \
            "or name it: make PYTHON=/path/to/python3.11 ..." >&2
    fi
    exit 1
}

pip_setting() { # value of a global setting in pip's own configuration, or nothing
    .venv/bin/python -m pip config get "global.$1" 2>/dev/null || true
}

# Stopped while it was made, .venv has an interpreter and no pip that starts: made anew.
if ! fits .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "make: building .venv on $("$python" --version)"
    "$python" -m venv --clear .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt

wheel_folders=${PIP_FIND_LINKS:-$(pip_setting find-links)}
index=${PIP_INDEX_URL:-$(pip_setting index-url)}
[ -z "$wheel_folders" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo $wheel_folders | tr ' ' ',')}"
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
export UV_NO_CONFIG=1 VIRTUAL_ENV="$PWD/.venv"

if [ -z "${TORCH:-}" ]; then
    if nvidia-smi -L 2>/dev/null | grep -q GPU; then TORCH=cuda; else TORCH=cpu; fi
fi
backend=
if [ "$TORCH" = cpu ] && ! .venv/bin/uv pip install --quiet --dry-run --no-deps -r requirements/torch-cpu.txt 2>/dev/null; then
    backend=--torch-backend=cpu # torch's CPU build is not where pip looks: uv knows PyTorch's own index
fi
echo "make: installing the pinned packages with torch's $TORCH build"
# The lock constrains builds too: the few source packages are built by the pinned, hashed setuptools.
.venv/bin/uv pip sync --quiet --compile-bytecode --require-hashes --build-constraints requirements/lock.txt $backend \
    requirements/lock.txt requirements/uv.txt "requirements/torch-$TORCH.txt" || {
    [ -z "$backend" ] || echo "make: without access to PyTorch's own index, point PIP_FIND_LINKS at a folder that holds" \
        "the wheel of $(grep -o '^torch==[^ ]*+cpu' requirements/torch-cpu.txt)" >&2
    exit 1
}
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
