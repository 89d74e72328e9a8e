"""New programs in the place of those that run, under load: nobody refused, nothing lost; and programs that do not run change nothing."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import threading
import time

import pytest

import harness
from harness import BIN, ROLES, Smtp, programs_for, row, wait_until

NAMES = ["postern-master", *(f"postern-{role}" for role in ROLES)]


class Installed(harness.Suite):
    """Its programs are named through a link, as a package manager would replace them."""

    def launch(self):
        self.current = self.folder / "current"
        if not self.current.is_symlink():
            self.install("first")
            self.point("first")
        self.command = [*self.prefix, self.current / "postern-master", "-F", "-c", self.conf_path, "--libexec", self.current]
        super().launch()

    def install(self, name):
        folder = self.folder / name
        folder.mkdir(mode=0o755)
        for program in NAMES:
            shutil.copy(programs_for(self.user) / program, folder / program)
        return folder

    def point(self, name):
        (self.folder / "next").symlink_to(name)
        (self.folder / "next").rename(self.current)

    def anything_runs(self):
        """Of all programs in its folder, also one that was made in the moment in which its parent was killed."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if pathlib.Path(os.readlink(f"/proc/{pid}/exe")).is_relative_to(self.folder):
                    return True
        return False

    def runs_from(self):
        found = set()
        for pid in [self.process.pid, *self.children()]:
            with contextlib.suppress(FileNotFoundError):  # one that ends just now
                found.add(pathlib.Path(os.readlink(f"/proc/{pid}/exe")).parent.name)
        return found


@pytest.fixture
def installed(tmp_path):
    tmp_path.chmod(0o755)
    s = Installed(tmp_path)
    yield s
    s.stop()


class Load:
    """Clients without a pause, each with a number; and what the server said to each."""

    def __init__(self, suite, count):
        self.suite, self.accepted, self.refused, self.cut, self.over = suite, [], [], [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(count)]
        for t in self.threads:
            t.start()

    def run(self, n):
        number = 0
        while not self.over.is_set():
            number += 1
            self.one(f"{n}-{number}")
            self.over.wait(0.05)

    def one(self, name):
        try:
            c = Smtp(self.suite.mx, seconds=90)
        except OSError as e:
            self.refused.append((name, repr(e)))
            return
        if not c.greeting.startswith("220"):
            self.refused.append((name, c.greeting))
            return
        try:
            c.ehlo()
            c.message(f"{name}@elsewhere.test", "alice@example.test", f"Subject: {name}\n\n{name}\n")
            self.accepted.append(name)
            c.command("QUIT")
        except (OSError, AssertionError) as e:
            self.cut.append((name, repr(e)))
        finally:
            c.close()

    def end(self):
        self.over.set()
        for t in self.threads:
            t.join(120)


def arrived(suite):
    return {m.split(b"Subject: ", 1)[1].split(b"\n", 1)[0].decode() for m in suite.messages("alice@example.test")}


def test_under_load_there_and_back(installed):
    installed.settings += "watchdog 30s\n"
    installed.start()
    load = Load(installed, 3)
    idle = [installed.smtp(), installed.smtp(installed.submission)]
    for c in idle:
        c.ehlo()
    busy = installed.smtp(seconds=90)
    busy.ehlo()
    busy.envelope("busy@elsewhere.test", "alice@example.test")
    busy.expect(354, "DATA")
    busy.send("Subject: busy\r\n")
    pid = installed.process.pid
    installed.install("second")
    for name in ("second", "first"):
        wait_until(lambda: len(load.accepted) >= 3, 60, "mail")
        installed.point(name)
        done = installed.postern("upgrade")
        assert "upgraded" in done.stdout, done
        assert installed.runs_from() == {name} and installed.process.pid == pid
        if name == "second":
            for c in idle:
                assert c.reply().startswith("421 4.3.2"), "an idle session is told"
            del load.accepted[:-1]
    load.end()
    assert not load.refused, load.refused
    wait_until(lambda: set(load.accepted) <= arrived(installed), 60, f"all of {load.accepted}")
    row("A10", "upgrade-under-load", not load.refused)
    # What was cut off was cut between commands, and never after a 250.
    assert all("421" in why or "closed" in why or "reset" in why for _, why in load.cut), load.cut


def test_broken_programs_change_nothing(installed):
    installed.start()
    c = installed.smtp()
    c.ehlo()
    before = {role: installed.pids(role) for role in ROLES}
    broken = installed.install("broken")
    (broken / "postern-queue").write_bytes((broken / "postern-queue").read_bytes()[:5000])
    installed.point("broken")
    done = installed.postern("upgrade", check=False)
    assert done.returncode == 1 and "postern-queue" in done.stderr, done
    (broken / "postern-master").write_bytes(b"#!/bin/false\n")
    done = installed.postern("upgrade", check=False)
    assert done.returncode == 1 and "postern-master" in done.stderr, done
    good = installed.install("good")
    installed.point(good.name)
    conf = installed.conf_path.read_text()
    installed.conf_path.write_text(conf + "polcy rcpt { accept }\n")
    done = installed.postern("upgrade", check=False)
    assert done.returncode == 1 and "polcy" in done.stderr, done
    installed.conf_path.write_text(conf)
    row("A10", "broken-upgrade", {role: installed.pids(role) for role in ROLES} == before)
    c.message("you@elsewhere.test", "alice@example.test")
    installed.wait_messages("alice@example.test")
    rows = json.loads(installed.postern("--json", "status").stdout)
    assert rows[0]["role"] == "master" and rows[0]["state"] == "ready"


def test_killed_in_the_middle(installed):
    """kill -9 of the master at each step: all ends, what heard 250 is there, and the next start is an ordinary one."""
    sent = []
    for step, (name, seen) in enumerate([("second", "upgrade-begins"), ("first", "child-ended role=gate"),
                                         ("second", "child-ended role=queue")]):
        if step == 0:
            installed.start()
            installed.install("second")
        c = installed.smtp()
        c.ehlo()
        c.message(f"{step}@elsewhere.test", "alice@example.test", f"Subject: {step}\n\nx\n")
        sent.append(str(step))
        c.close()
        installed.point(name)
        installed.process.send_signal(signal.SIGUSR2)
        installed.wait_log(seen, 60)
        installed.process.kill()
        installed.process.wait()
        wait_until(lambda: not installed.anything_runs(), what="the end of all")
        installed.launch()
        assert installed.runs_from() == {name}
    wait_until(lambda: set(sent) <= arrived(installed), 30, "all mail")
    row("C10", "killed-in-mid-upgrade", True)


def test_where_programs_come_from(installed):
    """The verb takes no path: whoever has the gate may say "upgrade", and gets what root has installed."""
    installed.start()
    done = installed.postern("upgrade", "/tmp", check=False)
    assert done.returncode == 64, done
    installed.postern("upgrade")
    assert installed.runs_from() == {"first"}
    assert not BIN.samefile(installed.current)


def test_who_comes_does_not_wait_for_who_is_slow(installed):
    """Fifty who never end their mail have their time first, while others are served; only then the doors are closed for a moment."""
    installed.settings += "connections-per-host 200\n"
    installed.start()
    slow = [installed.smtp(seconds=120) for _ in range(50)]
    for n, c in enumerate(slow):
        c.ehlo()
        c.envelope(f"{n}@elsewhere.test", "alice@example.test")
        c.expect(354, "DATA")
    served, waits, over = [], [], threading.Event()

    def knock():
        while not over.is_set():
            start = time.monotonic()
            c = Smtp(installed.mx, seconds=120)
            waits.append(time.monotonic() - start)
            served.append((c.greeting[:3], "upgrade-begins" in installed.log() and "child-ended role=gate" not in installed.log()))
            c.command("QUIT")
            c.close()
            over.wait(0.05)
    client = threading.Thread(target=knock)
    client.start()
    installed.install("second")
    installed.point("second")
    installed.postern("upgrade")
    over.set()
    client.join(120)
    print(f"the longest wait for a banner of {len(waits)}: {max(waits):.1f} s")
    row("A10", "upgrade-serves-while-it-empties", {code for code, _ in served} == {"220"} and sum(during for _, during in served) > 1)
    row("A10", "upgrade-ends-who-is-slow", all(c.reply().startswith("421") for c in slow))
