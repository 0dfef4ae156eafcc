"""Lets people work in both stand-in systems for a while, so that there is something to see:
   people.py PAGE SECONDS
A third of the way through Azure DevOps throttles for some seconds, two thirds of the way
Alvao is away for some."""
import itertools
import json
import random
import sys
import time
import urllib.error
import urllib.request

page, seconds = sys.argv[1].rstrip("/"), float(sys.argv[2])
chance = random.Random(1)
requester, solver = "jana.dvorakova@contoso.com", "petr.svoboda@contoso.com"


def ask(method, path, body=None):
    request = urllib.request.Request(f"{page}/sandbox/api/{path}", method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            raw = answer.read()
    except urllib.error.HTTPError as refusal:
        if refusal.code != 409:  # somebody, or Tandem, was there first
            raise
        return None
    return json.loads(raw) if raw else None


def work(pairs):
    """One thing that a person does."""
    open_pairs = [p for p in pairs if p["ticket"]]
    what = chance.random()
    if what < 0.2 or len(open_pairs) < 5:
        ticket = ask("POST", "tickets", {"by": requester, "title": f"Request {len(pairs) + 1}", "kind": "Development", "description": "<p>Please look at this.</p>"})["id"]
        ask("PUT", f"tickets/{ticket}/state", {"by": solver, "state": "Development"})
        pairs.append({"ticket": ticket})
        return
    ticket = chance.choice(open_pairs)["ticket"]
    item = ask("GET", f"tickets/{ticket}").get("pair")
    if not item:
        return
    if what < 0.75:
        ask("PUT", f"work-items/{item}/state", {"by": solver, "state": chance.choice(["To Do", "Doing", "Done"])})
    elif what < 0.85:
        ask("PUT", f"tickets/{ticket}/state", {"by": solver, "state": "Development"})
    elif what < 0.95:
        ask("POST", f"work-items/{item}/messages", {"by": solver, "html": "<div>Which printer is it?</div>"})
    else:
        ask("POST", f"tickets/{ticket}/messages", {"by": requester, "html": "<p>The one on the second floor.</p>", "visible": True})


began, pairs = time.monotonic(), []
troubles = [
    (seconds / 3, {"kind": "throttle", "path": "/azuredevops/**", "retryAfter": "2s", "probability": 0.3}, 10),
    (seconds * 2 / 3, {"kind": "unavailable", "path": "/AlvaoRestApi/**"}, 6),
]
for _ in itertools.count():
    passed = time.monotonic() - began
    if passed > seconds:
        break
    for at, rule, lasts in troubles:
        if at <= passed and "id" not in rule:
            rule["id"] = ask("POST", "faults/", rule)["id"]
        elif at + lasts <= passed and rule.get("id"):
            ask("DELETE", f"faults/{rule['id']}")
            rule["id"] = ""
    work(pairs)
    # Busier in the middle.
    time.sleep(chance.expovariate(0.5 + 1.5 * (1 - abs(2 * passed / seconds - 1))))
