#!/usr/bin/env bash
# Makes images of the third-party programs that deploy/compose.yaml runs, from programs
# on this machine, for tests where nothing can be pulled: Redis and Prometheus of the
# system's packages, Jaeger from .ci/jaeger.sh; and this machine's Go with the modules
# that Tandem needs, for deploy/Dockerfile. They are the same programs, not the same
# images; compose.yaml's users and commands fit both.
#   standins.sh     makes tandem-standin/redis, /prometheus, /jaeger and /golang
set -euo pipefail

docker=${DOCKER:-docker}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# add NAME PROGRAM… puts programs with the libraries that they need into a folder.
add() {
  local root=$work/$1 program library
  shift
  mkdir -p "$root/usr/bin" "$root/etc" "$root/tmp"
  chmod 1777 "$root/tmp"
  for program; do
    cp --dereference "$program" "$root/usr/bin/"
    { ldd "$program" 2>/dev/null || true; } | { grep -o '/[^ ]*' || true; } | while read -r library; do
      mkdir -p "$root${library%/*}"
      cp --dereference "$library" "$root$library"
    done
  done
}

# finish NAME CHANGE… imports the folder as an image.
finish() {
  local name=$1 change changes=(--change 'ENV PATH=/usr/bin')
  shift
  for change; do changes+=(--change "$change"); done
  tar -C "$work/$name" -c . | $docker import "${changes[@]}" - "tandem-standin/$name:latest" >/dev/null
  echo "tandem-standin/$name"
}

add redis "$(command -v redis-server)" "$(command -v redis-cli)" "$(command -v bash)" "$(command -v cp)" "$(command -v rm)"
ln -s bash "$work/redis/usr/bin/sh"
install -d -o 999 -g 1000 "$work/redis/data"
finish redis 'WORKDIR /data'

.ci/prometheus.sh
add prometheus .bin/prometheus/prometheus
install -d -o 65534 -g 65534 "$work/prometheus/prometheus"
finish prometheus 'ENTRYPOINT ["/usr/bin/prometheus"]'

.ci/jaeger.sh
add jaeger .bin/jaeger
finish jaeger 'ENTRYPOINT ["/usr/bin/jaeger"]'

add golang "$(command -v bash)" "$(command -v find)" "$(command -v grep)" \
  "$(command -v cat)" "$(command -v chmod)" "$(command -v cut)" "$(command -v date)" "$(command -v mkdir)" "$(command -v mktemp)" \
  "$(command -v od)" "$(command -v rm)" "$(command -v touch)" "$(command -v tr)" "$(command -v wc)" "$(command -v env)"
mkdir -p "$work/golang/usr/local" "$work/golang/root" "$work/modules"
ln -s bash "$work/golang/usr/bin/sh"
ln -s usr/bin "$work/golang/bin"
cp -r "$(go env GOROOT)" "$work/golang/usr/local/go"
# Only what is compiled is fetched into an empty cache, from this machine's cache if it is there.
fetch() {
  GOMODCACHE=$work/modules GOFLAGS=-modcacherw GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)" \
    go "$@" >/dev/null 2>"$work/log" || { cat "$work/log" >&2 && exit 1; }
}
fetch list -deps ./services/{gateway,synccore,sandbox}/cmd/...
GOWORK=off fetch -C .tools/images list -deps github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
mv "$work/modules/cache/download" "$work/golang/modules"
finish golang 'ENV PATH=/usr/local/go/bin:/usr/bin' 'ENV HOME=/root' 'ENV GOTOOLCHAIN=local' 'ENV GOPROXY=file:///modules'
