#!/usr/bin/env bash
# Builds the programs that go into images, each with the list of what is in it (SBOM,
# CycloneDX), so that the same commit gives the same bytes: on this machine and in
# deploy/Dockerfile, which runs it too.
#   programs.sh FOLDER ARCHITECTURE
# VERSION and COMMIT are written into the programs, SOURCE_DATE_EPOCH is the files'
# time; without them git tells all three.
set -euo pipefail

into=$1 arch=$2
VERSION=${VERSION:-$(git describe --tags --always --dirty)}
COMMIT=${COMMIT:-$(git rev-parse HEAD)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
# What the environment may say else must not change the result.
export CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOFLAGS=-buildvcs=false GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' GOWORK=''

module=github.com/tandem-sync/tandem/services
telemetry=$module/internal/telemetry
sbom=$(mktemp -d)
trap 'rm -rf "$sbom"' EXIT
GOOS='' GOARCH='' GOWORK=off go -C .tools/images build -o "$sbom/cyclonedx-gomod" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

rm -rf "$into" && mkdir -p "$into"
for program in gateway synccore sandbox; do
  mkdir "$into/$program"
  # grpcnotrace leaves out a page for debugging that nothing serves.
  go build -trimpath -tags=grpcnotrace -ldflags="-s -w -buildid= -X $telemetry.release=$VERSION -X $telemetry.commit=$COMMIT" \
    -o "$into/$program/$program" "$module/$program/cmd/$program"
  "$sbom/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "$VERSION" \
    -output "$into/$program/sbom.cdx.json" "$into/$program/$program" 2>"$sbom/log" || { cat "$sbom/log" && exit 1; }
  chmod 0755 "$into/$program" "$into/$program/$program"
  chmod 0644 "$into/$program/sbom.cdx.json"
done

# An image holds one folder: it must be for the machine that was asked for, and small.
most=30000000
declare -A machines=([amd64]=003e [arm64]=00b7) # e_machine of the ELF header
for program in gateway synccore sandbox; do
  machine=$(od --address-radix=n --format=x2 --endian=little --skip-bytes=18 --read-bytes=2 "$into/$program/$program" | tr -d ' ')
  if [[ "$machine" != "${machines[$arch]:-$machine}" ]]; then
    echo "$program is for the machine $machine, not for $arch" >&2 && exit 1
  fi
  size=$(cat "$into/$program"/* | wc -c)
  if ((size > most)); then
    echo "the image of $program would have $size bytes, more than $most: something keeps the linker from leaving code out" >&2 && exit 1
  fi
done
find "$into" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
