#!/usr/bin/env bash
# Collects in one folder what a machine without a network needs; `make bundle` calls it after the set-up.
#   requirements/bundle.sh FOLDER [--data-root FOLDER] [--encoder-weights VALUE]
#   GPU=1  with the CUDA libraries of requirements/gpu.txt; what is there already stays
# The list of checksums is written last: a folder without it is unfinished, and the same command resumes.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "bundle: $*"; }
fail() { echo "error: $*" >&2; exit 1; }

bundle=$1
python=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
command -v sha256sum >/dev/null || fail "make bundle needs sha256sum, of GNU coreutils"
if [ -e "$bundle/PYTHON" ]; then
  made=$(cat "$bundle/PYTHON")
  [ "$made" = "$python" ] || fail "$bundle is a bundle for Python ${made:-?}, and .venv has $python: name another folder with BUNDLE="
elif [ -e "$bundle" ] && [ -n "$(ls -A "$bundle")" ]; then
  fail "$bundle is not a bundle: name a new or an empty folder with BUNDLE="
fi
mkdir -p "$bundle/wheels" "$bundle/requirements"
exec 9<"$bundle/wheels"
if command -v flock >/dev/null; then
  flock --nonblock 9 || fail "another make bundle is writing $bundle: wait for it"
fi
rm -f "$bundle/SHA256SUMS"
echo "$python" >"$bundle/PYTHON"

locks=(uv build dev)
[ "${GPU:-0}" = 0 ] && [ ! -e "$bundle/requirements/gpu.txt" ] || locks+=(gpu)

# uv downloads nothing for others, and the pip of .venv/tools may run on another Python than .venv.
tools=.venv/bundle
.venv/tools/bin/uv venv --quiet --allow-existing --python .venv/bin/python $tools
.venv/tools/bin/uv pip sync --quiet --python $tools/bin/python --require-hashes requirements/build.txt ||
  fail "uv could not make $tools (its reason is above); the same command tries again"
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
for lock in "${locks[@]}"; do
  # pip writes what it downloads at its end only: in parts, so that little is lost with it.
  awk -v to="$parts/$lock-" '/^[a-z0-9]/ { part = sprintf("%s%03d", to, int(count / 40)); count += 1 } part { print >part }' \
    "requirements/$lock.txt"
  cp "requirements/$lock.txt" "$bundle/requirements"
done
total=$(ls "$parts" | wc -l) count=0
for part in "$parts"/*; do
  say "packages, part $((count += 1)) of $total"
  # These two exist as source only, in pure Python: they travel so, under the lock's hashes, and are built on arrival.
  $tools/bin/python -m pip download -qq --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: --no-binary promise,seqeval --no-build-isolation --dest "$bundle/wheels" -r "$part" ||
    fail "pip could not fetch the packages (its reason is above); the same command resumes"
done

.venv/bin/python -m tools.bundle "$@"

say "checksums"
sha256sum "$bundle"/wheels/* | while read -r hash file; do
  grep -qF "$hash" "$bundle"/requirements/*.txt || rm "$file" # of an older lock, or half a file
done
cd "$bundle"
find . -type f ! -path '*/.*' ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum >.SHA256SUMS
mv .SHA256SUMS SHA256SUMS
say "done in $SECONDS s: $(du -sh . | cut -f1) in $bundle; there, sha256sum -c SHA256SUMS checks all of it"
