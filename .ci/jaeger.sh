#!/usr/bin/env bash
# Builds Jaeger, all parts in one program, into .bin/jaeger from its Go module. It is
# built in a copy of the module, as its go.mod leads to files beside it. The first time
# takes minutes, later ones use Go's caches.
set -euo pipefail

version=v1.76.0
if [[ -x .bin/jaeger && $(cat .bin/.jaeger 2>/dev/null) == "$version" ]]; then exit 0; fi
work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
into=$PWD/.bin
mkdir -p "$into"
export GOWORK=off GOFLAGS=-buildvcs=false CGO_ENABLED=0
source=$(cd "$work" && go mod download -json "github.com/jaegertracing/jaeger@$version" | sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')
cp -r "$source" "$work/jaeger"
chmod -R u+w "$work/jaeger"
# Always the same folder inside, whatever its name: -trimpath keeps Go's cache useful.
go -C "$work/jaeger" build -trimpath -ldflags='-s -w' -o "$into/jaeger" ./cmd/all-in-one
echo "$version" >"$into/.jaeger"
