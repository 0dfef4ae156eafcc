#!/usr/bin/env bash
# Takes the pictures in deploy/pictures from a real run: the demonstration's page, and the
# trace of one webhook as Jaeger's query API tells it. The Jaeger that is built from its
# Go module has no user interface inside, so that .ci/trace.html draws the trace.
set -euo pipefail

into=deploy/pictures
browser=$(command -v chromium chromium-browser google-chrome | head -1)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
otlp=127.0.0.1:$(port) query=127.0.0.1:$(port)
SPAN_STORAGE_TYPE=memory OTEL_TRACES_SAMPLER=always_off .bin/jaeger --collector.otlp.grpc.host-port "$otlp" --query.http-server.host-port "$query" \
  --collector.otlp.http.host-port "127.0.0.1:$(port)" --query.grpc-server.host-port "127.0.0.1:$(port)" --collector.grpc-server.host-port "127.0.0.1:$(port)" \
  --collector.http-server.host-port "127.0.0.1:$(port)" --admin.http.host-port "127.0.0.1:$(port)" >"$work/jaeger.log" 2>&1 &
.bin/demo --keep --otlp-endpoint "http://$otlp" >"$work/demo.log" 2>&1 &
for _ in {1..120}; do
  if grep -q '^Open http' "$work/demo.log"; then break; fi
  sleep 0.5
done
page=$(sed -nE 's/^Open (http[^ ]*) .*/\1/p' "$work/demo.log")
if [[ -z "$page" ]]; then cat "$work/demo.log" >&2 && exit 1; fi

# shoot FILE WIDTH,HEIGHT URL. The browser shoots once the page is loaded, which may be
# before it shows anything; such a picture is small.
shoot() {
  for _ in {1..10}; do
    "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/browser" --window-size="$2" \
      --screenshot="$work/$1" "$3" >"$work/browser.log" 2>&1 || { cat "$work/browser.log" >&2 && exit 1; }
    if (($(stat -c %s "$work/$1") > 60000)); then
      cp "$work/$1" "$into/$1"
      return
    fi
  done
  echo "$1 stays empty" >&2 && exit 1
}
shoot demo.png 1280,760 "$page"

# A webhook of Azure DevOps whose trace reaches a write to Alvao, of middling length.
sleep 6 # the programs send spans every five seconds
curl -sf "http://$query/api/traces?service=tandem-gateway&limit=200" | python3 -c '
import json, sys
traces = [t for t in json.load(sys.stdin)["data"]
          if any(s["operationName"].startswith("POST /hooks/azure-devops") for s in t["spans"])
          and any(s["operationName"] == "PUT Alvao" for s in t["spans"])]
trace = min(traces, key=lambda t: (abs(len(t["spans"]) - 30), t["traceID"]))
html = open(".ci/trace.html").read()
print(html.replace("/*TRACE*/null", json.dumps(trace).replace("</", "<\\/")))
' >"$work/trace.html"
shoot trace.png 1280,630 "file://$work/trace.html"
ls -l "$into"
