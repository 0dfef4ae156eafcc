#!/usr/bin/env bash
# Builds Docker Compose into .bin/docker-compose, for machines whose packages have none.
set -euo pipefail
exec .ci/fromsource.sh docker-compose github.com/docker/compose/v2 v2.40.3 ./cmd
