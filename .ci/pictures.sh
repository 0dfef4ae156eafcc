#!/usr/bin/env bash
# Takes the pictures in deploy/pictures from a real run of some minutes: the demonstration's
# page, the trace of one webhook in Jaeger, and the dashboards. No Grafana can be built from
# sources that are at hand; dashboard.html draws what a real Prometheus answers to the
# expressions of the dashboards' panels.
set -euo pipefail

into=deploy/pictures minutes=${MINUTES:-4}
browser=$(command -v chromium chromium-browser google-chrome | head -1)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT

# uPlot, which Grafana draws its time series with.
(cd "$work" && npm pack --silent uplot@1.6.32 >/dev/null && echo "4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d uplot-1.6.32.tgz" | sha256sum --check --quiet && tar -xf uplot-1.6.32.tgz)

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
otlp=127.0.0.1:$(port) query=127.0.0.1:$(port) prometheus=127.0.0.1:$(port)
SPAN_STORAGE_TYPE=memory OTEL_TRACES_SAMPLER=always_off .bin/jaeger --query.static-files .bin/jaegerui --collector.otlp.grpc.host-port "$otlp" --query.http-server.host-port "$query" \
  --collector.otlp.http.host-port "127.0.0.1:$(port)" --query.grpc-server.host-port "127.0.0.1:$(port)" --collector.grpc-server.host-port "127.0.0.1:$(port)" \
  --collector.http-server.host-port "127.0.0.1:$(port)" --admin.http.host-port "127.0.0.1:$(port)" >"$work/jaeger.log" 2>&1 &
.bin/demo --keep --otlp-endpoint "http://$otlp" >"$work/demo.log" 2>&1 &
for _ in {1..120}; do
  if grep -q '^Open http' "$work/demo.log"; then break; fi
  sleep 0.5
done
page=$(sed -nE 's/^Open (http[^ ]*)\/ .*/\1/p' "$work/demo.log")
if [[ -z "$page" ]]; then cat "$work/demo.log" >&2 && exit 1; fi
read -r gateway synccore < <(sed -nE 's/.*Metrics are at http:\/\/([^ ]*)\/metrics and http:\/\/([^ ]*)\/metrics,.*/\1 \2/p' "$work/demo.log")

cat >"$work/prometheus.yaml" <<END
global: {scrape_interval: 2s, evaluation_interval: 2s}
rule_files: [$PWD/deploy/helm/tandem/files/rules.yaml]
scrape_configs:
  - {job_name: tandem-gateway, static_configs: [{targets: ["$gateway"]}]}
  - {job_name: tandem-synccore, static_configs: [{targets: ["$synccore"]}]}
END
.bin/prometheus/prometheus --config.file="$work/prometheus.yaml" --storage.tsdb.path="$work/prometheus" --web.listen-address="$prometheus" >"$work/prometheus.log" 2>&1 &

# shoot FILE WIDTH,HEIGHT URL. The browser shoots once the page is loaded and what it then
# asked for is there, which may be before it shows anything; such a picture is small.
shoot() {
  for _ in {1..10}; do
    "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/browser" --window-size="$2" ${4:+--virtual-time-budget="$4"} \
      --screenshot="$work/$1" "$3" >"$work/browser.log" 2>&1 || { cat "$work/browser.log" >&2 && exit 1; }
    if (($(stat -c %s "$work/$1") > 60000)); then
      cp "$work/$1" "$into/$1"
      return
    fi
  done
  echo "$1 stays empty" >&2 && exit 1
}
shoot demo.png 1280,760 "$page/"

# A webhook of Azure DevOps whose trace reaches a write to Alvao, of middling length.
sleep 6 # the programs send spans every five seconds
trace=$(curl -sf "http://$query/api/traces?service=tandem-gateway&limit=200" | python3 -c '
import json, sys
traces = [t for t in json.load(sys.stdin)["data"]
          if any(s["operationName"].startswith("POST /hooks/azure-devops") for s in t["spans"])
          and any(s["operationName"] == "PUT Alvao" for s in t["spans"])]
print(min(traces, key=lambda t: (abs(len(t["spans"]) - 30), t["traceID"]))["traceID"])
')
shoot trace.png 1400,900 "http://$query/trace/$trace" 8000

python3 .ci/people.py "$page" "$(awk "BEGIN {print 60 * $minutes}")"
python3 .ci/panels.py "http://$prometheus" "$minutes" 20s >"$work/panels.json"
for name in overview connector vendors inbox; do
  python3 - "$name" "$work" <<'END'
import json, sys
name, work = sys.argv[1:]
title = json.load(open(f"deploy/helm/tandem/files/dashboards/{name}.json"))["title"]
board = next(b for b in json.load(open(f"{work}/panels.json")) if b["title"] == title)
html = open(".ci/dashboard.html").read()
for mark, text in {
    "/*STYLE*/": open(f"{work}/package/dist/uPlot.min.css").read(), "/*UPLOT*/": open(f"{work}/package/dist/uPlot.iife.min.js").read(),
    "/*BOARD*/null": json.dumps(board).replace("</", "<\\/"),
}.items():
    html = html.replace(mark, text)
open(f"{work}/{name}.html", "w").write(html)
rows = max(p["at"]["y"] + p["at"]["h"] for p in board["panels"])
open(f"{work}/{name}.size", "w").write(f"1400,{rows * 34 + 75}")
END
  shoot "dashboard-$name.png" "$(cat "$work/$name.size")" "file://$work/$name.html"
done
ls -l "$into"
