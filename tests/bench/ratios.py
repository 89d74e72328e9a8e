"""Reads the runner's JSON lines and prints Postern against Postfix, load by load."""

import json
import sys

# load: what it is, rate at least, CPU at most, sessions that the aim is about (None: all)
AIMS = {
    ("A", 4096): ("to a Maildir", 3.0, 1 / 3, 50),
    ("B", 4096): ("relayed", 4.0, 1 / 5, 50),
    ("A", 65536): ("64 KiB, Maildir", None, None, None),
    ("A", 1048576): ("1 MiB, Maildir", None, None, None),
    ("CH", 4096): ("TLS and login", 1.2, None, None),
    ("CM", 4096): ("TLS, login, relayed by TLS", None, None, None),
}


def rate_of(r):
    return r["drain_per_s"]


def aim_of(key, rate, cpu, p50, p99):
    _, rate_aim, cpu_aim, sessions = AIMS[key[:2]]
    if rate_aim is None or sessions not in (None, key[2]):
        return ""
    missed = [f"rate {rate_aim:g}"] if rate < rate_aim else []
    missed += [f"CPU {cpu_aim:.2f}"] if cpu_aim and cpu > cpu_aim else []
    missed += ["p99 <= p50"] if cpu_aim and p99 > p50 else []
    return "reached" if not missed else "not reached: " + ", ".join(missed)


def main():
    runs, limit = {}, None
    for line in open(sys.argv[1]):
        r = json.loads(line)
        if r["test"] == "limit":
            limit = r["per_s"] / 2
        elif (r["test"], r["size"]) in AIMS:
            runs[r["test"], r["size"], r["sess"], r["name"]] = r
    print(f"{'load':27} {'sessions':>8} {'Postfix/s':>10} {'Postern/s':>10} {'ratio':>6} {'CPU ms':>7} {'CPU ms':>7} {'ratio':>6}"
          f" {'p50 ms':>7} {'p99 ms':>7}  aim")
    for key in sorted({k[:3] for k in runs}, key=lambda k: (list(AIMS).index(k[:2]), k[2])):
        peer, ours = runs.get((*key, "postfix")), runs.get((*key, "postern"))
        if not peer or not ours:
            continue
        rate = rate_of(ours) / max(rate_of(peer), 0.001)
        cpu = ours["cpu_per_1000"] / peer["cpu_per_1000"] if peer["cpu_per_1000"] else 0
        p50, p99 = peer.get("msg_ms", {}).get("p50", 0), ours.get("msg_ms", {}).get("p99", 0)
        print(f"{AIMS[key[:2]][0]:27} {key[2]:8} {rate_of(peer):10.0f} {rate_of(ours):10.0f} {rate:6.2f} {peer['cpu_per_1000']:7.2f}"
              f" {ours['cpu_per_1000']:7.2f} {cpu:6.2f} {p50:7.1f} {p99:7.1f}  {aim_of(key, rate, cpu, p50, p99)}")
        if key[1] == 1048576 and limit:
            part = rate_of(ours) / limit
            print(f"  two synced copies of 1 MiB without any server: {limit:.0f}/s; Postern reaches {part:.2f} of it (aim 0.6:"
                  f" {'reached' if part >= 0.6 else 'not reached'})")
    print("p50 is Postfix's, p99 is Postern's time for a whole message; rates count messages accepted and delivered.")


main()
