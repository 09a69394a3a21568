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

# What is set for other programs must not change what is installed here. Package indexes, proxies, certificates, caches
# and time limits stay. pip.conf is overruled by options.
unset PYTHONPATH PYTHONHOME PYTHONPLATLIBDIR PYTHONUSERBASE PYTHONSTARTUP PYTHONOPTIMIZE PYTHONWARNINGS PYTHONIOENCODING \
  PYTHONINSPECT PYTHONDEBUG PYTHONVERBOSE PYTHONDEVMODE PYTHONPROFILEIMPORTTIME PYTHONSAFEPATH VIRTUAL_ENV CONDA_PREFIX \
  PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_CONSTRAINT PIP_REQUIREMENT PIP_EDITABLE PIP_NO_BINARY \
  PIP_ONLY_BINARY PIP_DRY_RUN PIP_REQUIRE_VIRTUALENV PIP_PLATFORM PIP_ABI PIP_PYTHON_VERSION
for name in $(compgen -e); do
  case $name in
    *INDEX* | UV_CACHE_DIR | UV_NO_CACHE | UV_OFFLINE | UV_FIND_LINKS | UV_LINK_MODE | UV_NATIVE_TLS | UV_SYSTEM_CERTS) ;;
    UV_HTTP_* | UV_REQUEST_TIMEOUT | UV_CONCURRENT_* | UV_KEYRING_PROVIDER | UV_INSECURE_HOST | UV_CONFIG_FILE) ;;
    UV_PYTHON_DOWNLOADS* | UV_PYTHON_*MIRROR) ;;
    UV_*) unset "$name" ;;
  esac
done

versions="3.8, 3.9 or 3.10" suits="(3, 8) <= sys.version_info[:2] <= (3, 10)"
if [ -n "${BUNDLE-}" ]; then
  [ -e "$BUNDLE/SHA256SUMS" ] ||
    fail "BUNDLE=$BUNDLE is no finished bundle: where there is a network, make bundle BUNDLE=$BUNDLE makes or resumes it"
  { read -r made <"$BUNDLE/PYTHON"; } 2>/dev/null || made=
  case $made in 3.8 | 3.9 | 3.10) ;; *) fail "BUNDLE=$BUNDLE is damaged: PYTHON holds no version; copy it again" ;; esac
  versions="$made (which BUNDLE=$BUNDLE is for)" suits="sys.version_info[:2] == (${made/./, })"
  export UV_OFFLINE=1
fi

# A pyenv shim may exist and refuse to run, and some Pythons were built without what downloads need.
suitable() {
  "$1" -c 'import sys, ssl
sys.exit(sys.implementation.name != "cpython" or not '"$suits)" </dev/null >/dev/null 2>&1
}

has() { # has PYTHON MODULE
  "$1" -c "import $2" </dev/null >/dev/null 2>&1
}

# Prints the interpreter's path, or nothing where there is none. Debian and Colab ship Pythons without ensurepip, which
# will do where there is no other.
find_python() {
  if [ -n "${PYTHON-}" ]; then
    suitable "$PYTHON" || fail "PYTHON=$PYTHON does not run as a CPython $versions"
    "$PYTHON" -c 'import sys; print(sys.executable)'
    return
  fi
  local candidate second=
  while read -r candidate; do
    suitable "$candidate" || continue
    if has "$candidate" ensurepip; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
    second=${second:-$candidate}
  done < <(
    printf '%s\n' python3.10 python3.9 python3.8 python3
    printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python | sort -rV
    for version in 3.10 3.9 3.8; do # those that uv has downloaded for others
      UV_PYTHON_DOWNLOADS=never uv python find --system $version </dev/null 2>/dev/null || :
    done
  )
  [ -z "$second" ] || "$second" -c 'import sys; print(sys.executable)'
}

# Prints any Python 3 that can help to install uv, or nothing.
find_helper() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys, ssl; sys.exit(sys.version_info < (3, 8))' </dev/null >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
}

if [ "${1-}" = --find-python ]; then
  find_python
  exit
fi

[ "$(uname -s) $(uname -m)" != "Darwin arm64" ] ||
  fail "TensorFlow 2.9 lacks packages for Apple silicon (arm64): run this in Docker, with --platform linux/amd64"
case $(uname -s) in Linux | Darwin) ;; *) fail "Linux or macOS is needed: on Windows, run this in WSL" ;; esac
[ "$(uname -m)" = x86_64 ] || fail "TensorFlow 2.9 exists for x86-64 processors only, and this is $(uname -m)"
# A second set-up of this folder at the same time waits for the first. Some network disks have no such locks.
exec 9<requirements/setup.sh
if command -v flock >/dev/null; then
  if ! busy=$(LC_ALL=C flock --nonblock 9 2>&1) && [ -z "$busy" ]; then
    say "waiting for the set-up that is running"
    flock 9
  fi
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
from_bundle=()
[ -z "${BUNDLE-}" ] || from_bundle=(--no-index --find-links "$BUNDLE/wheels")
pip_options=(--quiet --disable-pip-version-check --no-user --no-deps --require-hashes "${from_bundle[@]+"${from_bundle[@]}"}")
venv_or_uv="install uv, or the venv module of python3 (Debian, Ubuntu: python3-venv)"
# Where nothing else is at hand: uv's own archive, which then installs the locked uv under its hashes.
archive=uv-x86_64-unknown-linux-gnu
archive_url=https://github.com/astral-sh/uv/releases/download/0.9.22/$archive.tar.gz
archive_sha256=e170aed70ac0225feee612e855d3a57ae73c61ffb22c7e52c3fd33b87c286508

has_uv() { uv --version </dev/null >/dev/null 2>&1; }

# Whether there is anything that uv can be installed with, beside the Python $1, which may be none.
can_install_uv() {
  { [ -n "$1" ] && { has "$1" ensurepip || has "$1" pip; }; } || has_uv || can_fetch "$1"
}

can_fetch() {
  [ -z "${BUNDLE-}" ] && [ "$(uname -s)" = Linux ] &&
    { [ -n "$1" ] || command -v curl >/dev/null || command -v wget >/dev/null; }
}

fetch() { # fetch URL FILE PYTHON, by whatever can
  if command -v curl >/dev/null; then
    curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"
  elif command -v wget >/dev/null; then
    wget --quiet --tries 3 --output-document "$2" "$1"
  else
    "$3" -c 'import sys, urllib.request
try: urllib.request.urlretrieve(*sys.argv[1:])
except OSError as error: sys.exit(str(error))' "$1" "$2"
  fi
}

install_uv() { # with the Python $1, which may be none; .venv is made with the Python $2
  local locked way
  read -r locked _ <requirements/uv.txt
  [ -x $uv ] && [ "$($uv --version 2>/dev/null | cut -d ' ' -f 2)" = "${locked#uv==}" ] && return
  say "uv, which installs the rest, into .venv/tools"
  for way in uv_by_venv uv_by_uv uv_by_pip uv_by_archive; do
    ! $way "$1" "$2" || return 0
  done
  fail "uv could not be installed (the reasons are above): a first set-up needs the network, or BUNDLE=folder; else $venv_or_uv"
}

fail_for_python() {
  fail "uv could not make .venv with Python $1 (its reason is above); install Python 3.10, or name one with PYTHON=FILE"
}

# Each returns 1 where it is not possible, or has failed and has said why; the next one is tried then.
uv_by_venv() {
  [ -n "$1" ] && has "$1" ensurepip || return 1
  [ -x .venv/tools/bin/python ] || "$1" -m venv .venv/tools &&
    .venv/tools/bin/python -m pip install "${pip_options[@]}" -r requirements/uv.txt
}

uv_by_uv() { # the one in PATH, or $3
  local by=${3:-uv}
  "$by" --version </dev/null >/dev/null 2>&1 || return 1
  "$by" venv --quiet --allow-existing --python "$2" .venv || fail_for_python "$2"
  "$by" pip install --quiet --python .venv/bin/python --target .venv/tools --no-deps --require-hashes \
    "${from_bundle[@]+"${from_bundle[@]}"}" -r requirements/uv.txt
}

uv_by_pip() {
  [ -n "$1" ] && has "$1" pip || return 1
  "$1" -m pip install "${pip_options[@]}" --upgrade --target .venv/tools -r requirements/uv.txt
}

uv_by_archive() {
  local folder=.venv/archive
  can_fetch "$1" && mkdir -p $folder && fetch "$archive_url" $folder/uv.tar.gz "$1" || return 1
  [ "$(sha256sum <$folder/uv.tar.gz)" = "$archive_sha256  -" ] ||
    fail "what came from $archive_url is not the uv expected; $venv_or_uv"
  tar -xzf $folder/uv.tar.gz -C $folder && uv_by_uv "$1" "$2" $folder/$archive/uv && rm -rf $folder
}

if [ -e .venv/.ready ] && suitable .venv/bin/python; then
  say "updating .venv, $(.venv/bin/python --version)"
  rm -f .venv/.ready .venv/.ready-gpu .venv/.ready-bench
  printf '%s\n' "${locks[@]}" >.venv/.locks
  install_uv .venv/bin/python .venv/bin/python
else
  python=$(find_python)
  helper=$python
  if [ -n "$python" ]; then
    say "$("$python" --version) at $python"
    case $("$python" --version) in
      "Python 3."[89].*) say "Python 3.10 gets newer packages, with fewer known flaws: docs/reliability.md" ;;
    esac
    can_install_uv "$python" || fail "$python has neither venv nor pip, and there is no uv: $venv_or_uv"
  else
    [ -z "${BUNDLE-}" ] || fail "no Python $versions found: install it, or name it with PYTHON=FILE"
    helper=$(find_helper)
    can_install_uv "$helper" ||
      fail "no Python 3.8, 3.9 or 3.10 found: install uv, which fetches one, or python3.10 and python3.10-venv, or name one with PYTHON=FILE"
    say "no Python 3.8, 3.9 or 3.10 found: uv will download 3.10 into .venv/python"
    python=3.10
    export UV_PYTHON_INSTALL_DIR=$PWD/.venv/python
  fi
  [ ! -e .venv ] || say "starting over: the .venv here is unfinished or broken"
  rm -rf .venv
  mkdir .venv
  printf '%s\n' "${locks[@]}" >.venv/.locks
  install_uv "$helper" "$python"
  $uv venv --quiet --allow-existing --python "$python" .venv || fail_for_python "$python"
fi

say "packages of ${locks[*]} into .venv"
quiet=
[ -t 2 ] || quiet=1  # progress bars are for terminals
$uv pip sync ${quiet:+--quiet} --python .venv/bin/python --require-hashes --compile-bytecode \
  "${from_bundle[@]+"${from_bundle[@]}"}" "${locks[@]}" ||
  fail "uv could not install the packages (its reason is above); the same command tries again"
if [ -e setup.cfg ]; then
  # The project itself, as it lies here; all that this needs has just been installed.
  $uv pip install --quiet --offline --python .venv/bin/python --no-deps --no-build-isolation --editable . ||
    fail "uv could not install the project into .venv (its reason is above); the same command tries again"
  if [ -e .venv/bin/medseg ]; then
    # -Es: without Python variables of other programs, and packages of the user's own.
    sed -i.old '1s|^#!\(/.*/python[0-9.]*\)$|#!\1 -Es|' .venv/bin/medseg
    rm .venv/bin/medseg.old
  fi
fi

case "${locks[*]}" in *gpu*) touch .venv/.ready-gpu ;; esac
case "${locks[*]}" in *bench*) touch .venv/.ready-bench ;; esac
touch .venv/.ready
say "done in $SECONDS s"
if [ -d "${BUNDLE:+$BUNDLE/data}" ]; then say "data sets: DATA_ROOT=$BUNDLE/data"; fi
if [ -d "${BUNDLE:+$BUNDLE/keras}" ]; then say "ImageNet weights, once: mkdir -p ~/.keras && cp -r $BUNDLE/keras/models ~/.keras"; fi
if [ -d "${BUNDLE:+$BUNDLE/weights}" ]; then say "encoder weights: $(echo "$BUNDLE"/weights/*), for ENCODER_WEIGHTS=none,ENCODER=FILE"; fi
