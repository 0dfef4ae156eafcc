#!/usr/bin/env bash
# Builds the images gateway, synccore and sandbox with a local engine, from programs
# that this machine's Go compiles: nothing is pulled. With PROGRAMS=compiled they are
# compiled in GO_IMAGE instead, by default the image of Go that deploy/Dockerfile names.
#   images.sh [ARCHITECTURE…]     amd64, arm64; without one, this machine's
# Tags: tandem/NAME:VERSION and tandem/NAME:latest, or with -ARCHITECTURE behind where
# it is not this machine's. DOCKER names the engine's client, REGISTRY what stands in
# front of the names.
set -euo pipefail

docker=${DOCKER:-docker} registry=${REGISTRY:-} programs=${PROGRAMS:-given}
here=$(go env GOARCH 2>/dev/null || $docker version --format '{{.Server.Arch}}')
if (($# == 0)); then set -- "$here"; fi

VERSION=$(git describe --tags --always --dirty)
COMMIT=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export VERSION COMMIT SOURCE_DATE_EPOCH
created=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
# The classic builder of Docker knows no stages that are not needed. From version 23 on
# Docker's client leaves BuildKit to buildx, which distributions package apart: where it
# is missing, it is built. Nothing of the surroundings may come into an image.
export DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1
read -ra build <<<"$docker build"
client=$($docker version --format '{{.Client.Version}}' || true)
if ((10#0${client%%.*} >= 23)) && ! $docker buildx version >/dev/null 2>&1; then
  .ci/buildx.sh
  build=(.bin/docker-buildx build --load)
fi

for arch in "$@"; do
  if [[ "$programs" == given ]]; then .ci/programs.sh ".bin/programs/$arch" "$arch"; fi
  suffix=
  if [[ "$arch" != "$here" ]]; then suffix=-$arch; fi
  for name in gateway synccore sandbox; do
    image=${registry}tandem/$name
    "${build[@]}" --quiet --file deploy/Dockerfile --target "$name" --platform "linux/$arch" \
      --build-arg PROGRAMS="$programs" ${GO_IMAGE:+--build-arg GO_IMAGE="$GO_IMAGE"} --build-arg TARGETARCH="$arch" --build-arg VERSION="$VERSION" --build-arg COMMIT="$COMMIT" \
      --build-arg CREATED="$created" --build-arg SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
      --tag "$image:$VERSION$suffix" --tag "$image:latest$suffix" . >/dev/null
    printf '%-40s %5.1f MB  %s\n' "$image:$VERSION$suffix" \
      "$($docker image inspect --format '{{.Size}}' "$image:$VERSION$suffix" | awk '{print $1 / 1e6}')" \
      "$($docker image inspect --format '{{index .RootFS.Layers 0}}' "$image:$VERSION$suffix")"
  done
done
