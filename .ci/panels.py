"""Asks Prometheus for what the dashboards in deploy/helm/tandem/files/dashboards show, and
writes it as JSON for dashboard.html:
   panels.py PROMETHEUS MINUTES RATE_INTERVAL
A panel without data is an error, as everything that they show happens in the run that is
pictured."""
import glob
import json
import re
import sys
import time
import urllib.parse
import urllib.request

prometheus, minutes, interval = sys.argv[1], float(sys.argv[2]), sys.argv[3]
now = int(time.time())
start = now - int(60 * minutes)


def query(path, **parameters):
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=60) as answer:
        body = json.load(answer)
    if body["status"] != "success":
        raise SystemExit(f"Prometheus refuses {parameters}: {body}")
    return body["data"]["result"]


def legend(target, labels):
    text = target.get("legendFormat") or ""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda m: labels.get(m[1], ""), text).strip()


boards, empty = [], []
for file in sorted(glob.glob("deploy/helm/tandem/files/dashboards/*.json")):
    board = json.load(open(file))
    shown = {"title": board["title"], "start": start, "end": now, "panels": []}
    for panel in board["panels"]:
        series = []
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", interval).replace("$connector", ".*")
            for found in query("query_range", query=expression, start=start, end=now, step=2):
                points = [(at, None if value in ("NaN", "+Inf", "-Inf") else float(value)) for at, value in found["values"]]
                if any(value is not None for _, value in points):
                    series.append({"name": legend(target, found["metric"]), "points": points})
        if not series:
            empty.append(f"{board['title']}, {panel['title']}")
        shown["panels"].append({
            "title": panel["title"], "type": panel["type"], "at": panel["gridPos"], "unit": panel["fieldConfig"]["defaults"].get("unit", "none"),
            "steps": panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", []), "series": series,
        })
    boards.append(shown)
if empty:
    raise SystemExit("panels without data: " + "; ".join(empty))
json.dump(boards, sys.stdout)
