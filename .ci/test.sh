#!/usr/bin/env bash
# Everything CI checks, one stage after the other. A failed stage does not stop
# the next ones, so that one run shows all there is to mend. Ends with the
# seconds of each stage and the count of tests.
set -euo pipefail

log=.bin/stages.log
mkdir -p .bin
: >"$log"
rm -f .bin/unit.log .bin/e2e.log .bin/helm.log .bin/alvao.log
failed=()

stage() { # name, command…
  local name=$1 start=$SECONDS state=ok
  shift
  printf '\n── %s\n' "$name"
  "$@" </dev/null || { state=FAILED && failed+=("$name"); }
  printf -- '── %-9s %-6s %4d s\n' "$name" "$state" $((SECONDS - start)) | tee -a "$log"
}

make=${MAKE:-make}
stage system .ci/system.sh
stage tools "$make" tools
stage breaking "$make" breaking
stage verify "$make" verify
stage lint "$make" lint
stage unit "$make" unit
stage e2e "$make" e2e
stage conform "$make" conform
stage helm "$make" helm-test
stage rules "$make" rules-test
stage alvao "$make" alvao-test
stage fuzz "$make" fuzz FUZZTIME="${FUZZTIME:-10s}"

printf '\n'
cat "$log"
# gotestsum closes each run with "DONE 12 tests, 3 skipped, 1 failure in 4.5s".
cat .bin/unit.log .bin/e2e.log .bin/helm.log .bin/alvao.log 2>/dev/null | awk -v seconds=$SECONDS '
  /^DONE / {
    for (i = 2; i < NF; i++) {
      if ($(i+1) ~ /^tests?,?$/) tests += $i
      if ($(i+1) ~ /^skipped,?$/) skipped += $i
      if ($(i+1) ~ /^failures?,?$/) failures += $i
      if ($(i+1) ~ /^errors?,?$/) errors += $i
    }
  }
  END {
    printf "DONE %d tests", tests
    if (skipped) printf ", %d skipped", skipped
    if (failures) printf ", %d failures", failures
    if (errors) printf ", %d errors", errors
    printf " in %ds\n", seconds
  }'

if ((${#failed[@]})); then
  echo "FAILED: ${failed[*]}"
  exit 1
fi
