"""Reads the runner's JSON lines and prints Postern against Postfix, load by load."""

import json
import sys

AIMS = {"A": ("to a Maildir", 1.5, 0.5), "B": ("relayed", 2.0, 0.5)}

runs = {}
for line in open(sys.argv[1]):
    r = json.loads(line)
    if r["test"] in AIMS:
        runs[r["test"], r["sess"], r["name"]] = r

print(f"{'load':14} {'sessions':>8} {'Postfix/s':>10} {'Postern/s':>10} {'ratio':>6} {'CPU ms':>7} {'CPU ms':>7} {'ratio':>6}"
      f" {'p50 ms':>7} {'p99 ms':>7}  aim")
for test, sessions in sorted({k[:2] for k in runs}):
    peer, ours = runs.get((test, sessions, "postfix")), runs.get((test, sessions, "postern"))
    if not peer or not ours:
        continue
    text, rate_aim, cpu_aim = AIMS[test]
    rate = ours["drain_per_s"] / peer["drain_per_s"]
    cpu = ours["cpu_per_1000"] / peer["cpu_per_1000"] if peer["cpu_per_1000"] else 0
    p50, p99 = peer.get("msg_ms", {}).get("p50", 0), ours.get("msg_ms", {}).get("p99", 0)
    reached = "reached" if rate >= rate_aim and cpu <= cpu_aim else "not reached"
    print(f"{text:14} {sessions:8} {peer['drain_per_s']:10.0f} {ours['drain_per_s']:10.0f} {rate:6.2f} {peer['cpu_per_1000']:7.2f}"
          f" {ours['cpu_per_1000']:7.2f} {cpu:6.2f} {p50:7.1f} {p99:7.1f}  rate >= {rate_aim}, CPU <= {cpu_aim}: {reached}")
print("p50 is Postfix's, p99 is Postern's time for a whole message; rates count messages accepted and delivered.")
