#!/usr/bin/env bash
# Builds Jaeger, all parts in one program, into .bin/jaeger.
set -euo pipefail
exec .ci/fromsource.sh jaeger github.com/jaegertracing/jaeger v1.76.0 ./cmd/all-in-one
