#!/usr/bin/env bash
# Tests the images and the compose stack with a local engine, pulling nothing. Needs an
# engine that DOCKER (docker) reaches, and its Compose, which is built if it is missing.
set -euo pipefail

docker=${DOCKER:-docker}
if ! $docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
  echo "no container engine answers: install one (Debian: apt-get install docker.io), start it, or name its client in DOCKER" >&2
  exit 1
fi
if [[ -z ${COMPOSE:-} ]]; then
  if $docker compose version >/dev/null 2>&1; then
    COMPOSE="$docker compose"
  else
    .ci/compose.sh
    COMPOSE=$PWD/.bin/docker-compose
  fi
fi
export COMPOSE

.ci/images.sh
.ci/standins.sh
GOWORK=off go -C deploy/check test -tags=containers -vet=off -count=1 -timeout=60m -v -run 'TestStack|TestReproducible|TestImages' . "$@"
