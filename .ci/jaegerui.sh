#!/usr/bin/env bash
# Puts the pages of Jaeger into .bin/jaegerui, for --query.static-files: the Jaeger that is
# built from its Go module has none inside. They come from a Go module that Docker's buildx
# uses to show its builds, which holds Jaeger's own pages (v1.68), compressed.
set -euo pipefail

version=v0.0.0-20250408171107-3dd17559e117
into=.bin/jaegerui
if [[ -f $into/index.html && $(cat "$into/.version" 2>/dev/null) == "$version" ]]; then exit 0; fi
pages=$(cd / && GOWORK=off GOFLAGS=-mod=mod go mod download -json "github.com/tonistiigi/jaeger-ui-rest@$version" | sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')/public
rm -rf "$into"
(cd "$pages" && find . -type f) | while read -r file; do
  mkdir -p "$into/${file%/*}"
  gunzip --stdout <"$pages/$file" >"$into/$file"
done
echo "$version" >"$into/.version"
