#!/usr/bin/env bash
# Runs every fuzz target of every module for a while.
#   fuzz.sh 10s
# A crasher fails the run and is left in the package's testdata/fuzz, to be
# committed with its fix. What was found interesting is kept in Go's cache.
set -euo pipefail

each=${1:-10s}
# Where go test -fuzz keeps it too.
cache=$(go env GOCACHE)/fuzz
module=github.com/tandem-sync/tandem
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()
count=0

# One instrumented binary a package, not one a target: linking costs more than
# the shorter runs.
while read -r dir; do
  package=${dir#./}
  targets=$(sed -nE 's/^func (Fuzz[A-Z0-9][A-Za-z0-9_]*)\(.*/\1/p' "$dir"/*_test.go)
  first=${targets%%$'\n'*}
  if ! go test -c -vet=off -fuzz="^$first\$" -o "$work/fuzz.test" "$dir"; then
    failed+=("$package") && echo "FAIL  $package does not build"
    continue
  fi
  mkdir -p "$cache/$module/$package"
  for target in $targets; do
    count=$((count + 1))
    if (cd "$dir" && "$work/fuzz.test" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$each" \
      -test.fuzzminimizetime=5s -test.fuzzcachedir="$cache/$module/$package") >"$work/log" 2>&1; then
      echo "ok    $package $target  $(sed -nE 's/.*(execs: [0-9]+).*/\1/p' "$work/log" | tail -1)"
    elif grep -q 'context deadline exceeded' "$work/log" && ! grep -q 'Failing input' "$work/log"; then
      # go test tells the end of the time, met in the middle of an input, as a
      # failure now and then. No input was found to fail.
      echo "ok    $package $target  (stopped by the clock)"
    else
      failed+=("$package $target")
      cat "$work/log"
      echo "FAIL  $package $target"
    fi
  done
done < <(grep -rlE '^func Fuzz[A-Z0-9][A-Za-z0-9_]*\(' --include='*_test.go' services gen | xargs -r -n1 dirname | sort -u | sed 's|^|./|')

echo "$count fuzz targets, $each each"
if ((${#failed[@]})); then exit 1; fi
