"""kill -9 in mid-load: after a 250 nothing is missing."""

import re
import threading
import time

import pytest

from harness import ROLES, Smtp, row, wait_until


class Load(threading.Thread):
    """Sends numbered messages on a connection each, as fast as it is let; notes what got a 250."""

    def __init__(self, suite, name):
        super().__init__(daemon=True)
        self.suite, self.name_, self.acked, self.halt = suite, name, [], False

    def run(self):
        n = 0
        while not self.halt:
            n += 1
            mark = f"{self.name_}-{n}"
            try:
                c = Smtp(self.suite.mx, seconds=10)
                c.ehlo()
                c.message("you@elsewhere.test", "alice@example.test", f"Subject: {mark}\n\nbody\n")
                self.acked.append(mark)
                c.close()
            except (OSError, AssertionError):
                time.sleep(0.02)


def arrived(suite):
    marks = []
    for text in suite.messages("alice@example.test"):
        marks += re.findall(rb"^Subject: (\S+)$", text, re.M)
    return [m.decode() for m in marks]


def run_load(suite, disturb, seconds=1.0):
    loads = [Load(suite, f"s{i}") for i in range(8)]
    for l in loads:
        l.start()
    wait_until(lambda: sum(len(l.acked) for l in loads) > 30, 60, "some load")
    disturb()
    before = sum(len(l.acked) for l in loads)
    time.sleep(seconds)
    for l in loads:
        l.halt = True
    for l in loads:
        l.join(30)
    return {m for l in loads for m in l.acked}, before


@pytest.mark.parametrize("role", ROLES)
def test_kill_one_process_under_load(running, role):
    acked, _ = run_load(running, lambda: running.kill(role))
    missing = lambda: acked - set(arrived(running))
    try:
        wait_until(lambda: not missing(), 60, "all mail")
    finally:
        row("C02", f"kill-{role}", not missing())


def test_kill_everything_under_load(running):
    acked, _ = run_load(running, running.kill_all, 0.2)
    running.launch()
    missing = lambda: acked - set(arrived(running))
    try:
        wait_until(lambda: not missing(), 60, "all mail")
    finally:
        row("C11", "kill-all", not missing())
