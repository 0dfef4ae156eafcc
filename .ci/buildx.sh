#!/usr/bin/env bash
# Builds Docker's buildx into .bin/docker-buildx, for machines whose client has none.
set -euo pipefail
exec .ci/fromsource.sh docker-buildx github.com/docker/buildx v0.29.1 ./cmd/buildx
