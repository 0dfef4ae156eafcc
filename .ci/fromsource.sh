#!/usr/bin/env bash
# Builds a third party's program from its Go module, once for a version.
#   fromsource.sh NAME MODULE VERSION PACKAGE      makes .bin/NAME
# It is built in a copy of the module, for `go install` refuses modules whose go.mod
# leads elsewhere. The first time takes minutes, later ones use Go's caches.
set -euo pipefail

name=$1 module=$2 version=$3 package=$4
into=$PWD/.bin
if [[ -x $into/$name && $(cat "$into/.$name" 2>/dev/null) == "$version" ]]; then exit 0; fi
work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
mkdir -p "$into"
export GOWORK=off GOFLAGS=-buildvcs=false CGO_ENABLED=0
source=$(cd "$work" && go mod download -json "$module@$version" | sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')
cp -r "$source" "$work/source"
chmod -R u+w "$work/source"
# -trimpath keeps the folder's name out, and with it Go's cache of use.
go -C "$work/source" build -trimpath -ldflags='-s -w' -o "$into/$name" "$package"
echo "$version" >"$into/.$name"
