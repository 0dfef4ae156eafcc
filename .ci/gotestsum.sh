#!/usr/bin/env bash
# Runs go test through gotestsum and keeps its output as .bin/NAME.log, where
# test.sh finds the count.
#   gotestsum.sh NAME go-test-arguments…
set -euo pipefail
name=$1
shift
.bin/gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg \
  --jsonfile ".bin/$name.json" -- "$@" 2>&1 | tee ".bin/$name.log"
