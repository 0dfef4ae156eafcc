#!/usr/bin/env bash
# Sees to it that the machine has what the tests start: a Redis server, a
# browser for the page, a C compiler for the race detector, and Mono for the Alvao
# application. Installs what is
# missing where it can (Debian, as root or with a sudo that asks nothing), else
# says how. With CI=true a missing one is an error; else the tests that need it
# are skipped, and say so.
set -euo pipefail

have() { # any of the names
  local name
  for name in "$@"; do command -v "$name" >/dev/null && return 0; done
  return 1
}

missing=()
have redis-server || missing+=(redis-server)
have chromium chromium-browser google-chrome google-chrome-stable || missing+=(chromium)
have gcc clang cc || missing+=(gcc libc6-dev)
if ! have mono || ! have mcs || [[ ! -e /usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll || ! -e /usr/lib/mono/4.5/System.Net.Http.dll || ! -e /usr/lib/mono/4.5/System.Data.dll ]]; then
  missing+=(mono-mcs mono-runtime libmono-system-net-http4.0-cil libmono-system-data4.0-cil libnewtonsoft-json5.0-cil)
fi

if ((${#missing[@]} == 0)); then
  echo "redis-server, a browser, a C compiler and Mono are there"
  exit 0
fi

as_root=()
if (($(id -u) != 0)); then as_root=(sudo -n); fi
if have apt-get && "${as_root[@]}" true 2>/dev/null; then
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if "${as_root[@]}" apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null; then
    exit 0
  fi
fi

echo "missing: ${missing[*]}"
echo "install them, for example: sudo apt-get install ${missing[*]}"
if [[ "${CI:-}" == true ]]; then exit 1; fi
