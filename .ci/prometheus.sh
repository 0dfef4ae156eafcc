#!/usr/bin/env bash
# Puts prometheus and promtool into .bin/prometheus: those of this machine, or those of
# Debian's package, unpacked and not installed, since installing would start a server.
set -euo pipefail

into=.bin/prometheus
if [[ -x $into/promtool && -x $into/prometheus ]]; then exit 0; fi
mkdir -p "$into"
if command -v promtool prometheus >/dev/null; then
  ln -sf "$(command -v promtool)" "$(command -v prometheus)" "$into/"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work" # apt downloads as a user of its own
if ! (cd "$work" && apt-get -qq download prometheus 2>/dev/null); then
  echo "promtool is missing: install Prometheus, for example: sudo apt-get install prometheus" >&2
  exit 1
fi
dpkg-deb --extract "$work"/prometheus_*.deb "$work"
cp "$work"/usr/bin/{prometheus,promtool} "$into/"
