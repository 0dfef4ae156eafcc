#!/usr/bin/env bash
# Changes the pure packages' code on purpose, one operator at a time, and runs
# their tests against each change. What survives is a line no test holds.
#   mutate.sh [package…]
set -euo pipefail

if (($# == 0)); then set -- item fault plan mapping template crossing redact brake nearest letter weburl; fi
cd services/synccore
for package in "$@"; do
  printf '\n── %s\n' "$package"
  ../../.bin/gremlins unleash --workers 2 --test-cpu 1 "./internal/$package"
done
