#!/usr/bin/env bash
# Runs every benchmark of every module COUNT times into .bin/bench.txt; the run
# before is kept as .bin/bench.old.txt, and the two are compared.
#   bench.sh 10
set -euo pipefail

if [[ -s .bin/bench.txt ]]; then mv .bin/bench.txt .bin/bench.old.txt; fi
go test -run='^$' -bench=. -benchmem -count="${1:-10}" -vet=off work | tee .bin/bench.txt
if [[ -s .bin/bench.old.txt ]]; then
  .bin/benchstat .bin/bench.old.txt .bin/bench.txt
else
  .bin/benchstat .bin/bench.txt
fi
