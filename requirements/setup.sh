#!/usr/bin/env bash
# Makes or updates .venv from the hashed locks; `make setup` calls it. Everything it installs lies in .venv.
#   PYTHON=FILE  the interpreter to use, instead of the newest suitable one found
#   GPU=1        add the CUDA libraries of requirements/gpu.txt; remembered from then on
#   BENCH=1      add what requirements/bench.txt measures against; remembered from then on
#   BUNDLE=DIR   install from what `make bundle` has collected there, without a network
# A finished .venv carries the stamp .ready (and .ready-gpu, .ready-bench); .locks names the locks that it is made from.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }
fail() { echo "error: $*" >&2; exit 1; }

versions="3.8, 3.9 or 3.10" suits="(3, 8) <= sys.version_info[:2] <= (3, 10)"
if [ -n "${BUNDLE-}" ]; then
  [ -e "$BUNDLE/SHA256SUMS" ] ||
    fail "BUNDLE=$BUNDLE is no finished bundle: where there is a network, make bundle BUNDLE=$BUNDLE makes or resumes it"
  { read -r made <"$BUNDLE/PYTHON"; } 2>/dev/null || made=
  case $made in 3.8 | 3.9 | 3.10) ;; *) fail "BUNDLE=$BUNDLE is damaged: PYTHON holds no version; copy it again" ;; esac
  versions="$made (which BUNDLE=$BUNDLE is for)" suits="sys.version_info[:2] == (${made/./, })"
  export UV_OFFLINE=1
fi

# A pyenv shim may exist and refuse to run, and Debian ships Pythons that cannot make a virtual environment.
suitable() {
  "$1" -c 'import sys, ssl, ensurepip
sys.exit(sys.implementation.name != "cpython" or not '"$suits)" </dev/null >/dev/null 2>&1
}

# Prints the interpreter's path, or nothing where there is none.
find_python() {
  if [ -n "${PYTHON-}" ]; then
    suitable "$PYTHON" || fail "PYTHON=$PYTHON does not run as a CPython $versions with its venv module"
    "$PYTHON" -c 'import sys; print(sys.executable)'
    return
  fi
  while read -r candidate; do
    if suitable "$candidate"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done < <(
    printf '%s\n' python3.10 python3.9 python3.8 python3
    printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python | sort -rV
  )
}

if [ "${1-}" = --find-python ]; then
  find_python
  exit
fi

[ "$(uname -m)" = x86_64 ] || fail "TensorFlow 2.9 exists for x86-64 processors only, and this is $(uname -m)"
# A second set-up of this folder at the same time waits for the first.
exec 9<requirements/setup.sh
if command -v flock >/dev/null; then
  flock --nonblock 9 || { say "waiting for the set-up that is running"; flock 9; }
fi
if [ -e .venv ] && [ ! -e .venv/.locks ]; then
  fail ".venv was not made by make setup: move it away, then run the same command again"
fi

locks=(requirements/dev.txt)
if [ "${GPU:-0}" != 0 ] || grep -qs gpu .venv/.locks; then
  [ "$(uname -s)" = Linux ] || fail "GPU=1 needs Linux: NVIDIA has no CUDA 11.8 wheels for $(uname -s)"
  locks+=(requirements/gpu.txt)
fi
if [ "${BENCH:-0}" != 0 ] || grep -qs bench .venv/.locks; then
  locks+=(requirements/bench.txt)
fi

if [ -n "${BUNDLE-}" ]; then
  for lock in requirements/uv.txt requirements/build.txt "${locks[@]}"; do
    [ "$lock" != requirements/bench.txt ] || fail "no bundle holds the packages of $lock: make bench needs the network"
    cmp -s "$lock" "$BUNDLE/$lock" ||
      fail "BUNDLE=$BUNDLE lacks the packages of this $lock: make it again from this version of the project${GPU:+, with GPU=$GPU}"
  done
  say "checking the packages in $BUNDLE"
  bad=$(cd "$BUNDLE" && grep -E '^[^ ]+ [ *](PYTHON$|requirements/|wheels/)' SHA256SUMS | sha256sum --check --quiet 2>/dev/null) ||
    fail "BUNDLE=$BUNDLE is damaged (${bad%%$'\n'*}): copy it again"
fi

uv=.venv/tools/bin/uv
install_uv() {  # with the interpreter $1
  say "uv, which installs the rest, into .venv/tools"
  [ -x .venv/tools/bin/python ] || "$1" -m venv .venv/tools
  .venv/tools/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    ${BUNDLE:+--no-index --find-links "$BUNDLE/wheels"} -r requirements/uv.txt ||
    fail "pip could not install uv (its reason is above); a first set-up needs the network, or BUNDLE=folder"
}

if [ -e .venv/.ready ] && suitable .venv/bin/python; then
  say "updating .venv, $(.venv/bin/python --version)"
  rm -f .venv/.ready .venv/.ready-gpu .venv/.ready-bench
  printf '%s\n' "${locks[@]}" >.venv/.locks
  install_uv .venv/bin/python
else
  python=$(find_python)
  bootstrap=$python
  if [ -n "$python" ]; then
    say "$("$python" --version) at $python"
  else
    [ -z "${BUNDLE-}" ] || fail "no Python $versions found: install it with its venv module, or name it with PYTHON=FILE"
    python3 -c 'import ssl, ensurepip' >/dev/null 2>&1 ||
      fail "no Python 3.8, 3.9 or 3.10 found: install one with its venv module (Debian, Ubuntu: python3.10-venv), or name it with PYTHON=FILE"
    say "no Python 3.8, 3.9 or 3.10 found: uv will download 3.10 into .venv/python"
    bootstrap=python3 python=3.10
    export UV_PYTHON_INSTALL_DIR=$PWD/.venv/python
  fi
  [ ! -e .venv ] || say "starting over: the .venv here is unfinished or broken"
  rm -rf .venv
  mkdir .venv
  printf '%s\n' "${locks[@]}" >.venv/.locks
  install_uv "$bootstrap"
  $uv venv --quiet --allow-existing --python "$python" .venv ||
    fail "uv could not make .venv with Python $python (its reason is above); install Python 3.10, or name one with PYTHON=FILE"
fi

say "packages of ${locks[*]} into .venv"
quiet=
[ -t 2 ] || quiet=1  # progress bars are for terminals
$uv pip sync ${quiet:+--quiet} --python .venv/bin/python --require-hashes --compile-bytecode \
  ${BUNDLE:+--no-index --find-links "$BUNDLE/wheels"} "${locks[@]}" ||
  fail "uv could not install the packages (its reason is above); the same command tries again"

case "${locks[*]}" in *gpu*) touch .venv/.ready-gpu ;; esac
case "${locks[*]}" in *bench*) touch .venv/.ready-bench ;; esac
touch .venv/.ready
say "done in $SECONDS s"
if [ -d "${BUNDLE:+$BUNDLE/data}" ]; then say "data sets: DATA_ROOT=$BUNDLE/data"; fi
if [ -d "${BUNDLE:+$BUNDLE/keras}" ]; then say "ImageNet weights, once: mkdir -p ~/.keras && cp -r $BUNDLE/keras/models ~/.keras"; fi
if [ -d "${BUNDLE:+$BUNDLE/weights}" ]; then say "encoder weights: $(echo "$BUNDLE"/weights/*), for ENCODER_WEIGHTS=none,ENCODER=FILE"; fi
