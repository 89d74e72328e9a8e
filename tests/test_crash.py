"""Errors and kill -9 at the system calls of one message's way, one after the other.

A message that got a 250 is never missing, and is delivered once where only a call failed.  A kill may make a second copy:
where it fell between a delivery and its record, or between a commit and its 250.  Nothing of this is ever a 5xx or a
bounce."""

import collections
import contextlib
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from harness import TOP, parent, row, wait_until

pytestmark = pytest.mark.root
DISK = "openat,pwritev,pwrite64,fsync,fdatasync,close,unlinkat,renameat2,fstatfs,pread64,ftruncate"
MAILBOX = "openat2,write,fsync,close,renameat2,pread64,mkdirat,unlinkat"
BIG = "y" * 76 + "\n"


@pytest.fixture
def crash(suite, next_hop):
    """One writer thread, so that the n-th call is one of this message; what waits is tried again every second."""
    suite.hop = next_hop()
    suite.settings += "trusted 127.0.0.0/8\nspool_writers 1\nretry { every 1s until 5d }\n"
    suite.internet = f'smtp "127.0.0.1:{suite.hop.port}"  allow-local yes  tls off'
    suite.sent, suite.refused = [], []
    suite.start()
    send(suite, "warm")
    suite.wait_messages("alice@example.test")
    return suite


@contextlib.contextmanager
def faults(pid, calls, what):
    """Faults in one process while the block runs."""
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:{what}",
                               "-p", str(pid)], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: is_traced(pid) or tracer.poll() is not None, 10, "strace")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)


def is_traced(pid):
    try:
        return all(re.search(r"TracerPid:\s+[1-9]", p.read_text()) for p in pathlib.Path(f"/proc/{pid}/task").glob("*/status"))
    except OSError:
        return True


def send(suite, mark, recipients=("alice@example.test",), size=0):
    """True: it got a 250.  A 5xx is a failure of the test; a 4xx and a lost connection are not."""
    try:
        c = suite.smtp(seconds=40)
        c.ehlo()
        for line in ["MAIL FROM:<bob@example.test>", *(f"RCPT TO:<{r}>" for r in recipients)]:
            got = c.command(line)
            assert got[0] != "5", got
            if got[0] != "2":
                suite.refused.append(mark)
                return False
        got = c.data(f"Subject: {mark}\n\n" + BIG * (size // len(BIG)))
        c.close()
    except OSError:
        got = "lost"
    assert got[0] != "5", got
    (suite.sent if got.startswith("250") else suite.refused).append(mark)
    return got.startswith("250")


def marks(texts):
    return collections.Counter(m.decode() for text in texts for m in re.findall(rb"^Subject: (\S+?)\r?$", text, re.M))


def arrived(suite):
    return marks(suite.messages("alice@example.test"))


def relayed(suite):
    return marks(data for _, _, data in suite.hop.messages)


def settled(suite, seconds=25):
    """All that was said 250 to is where it should be, and nothing is left."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: set(suite.sent) <= set(arrived(suite)) and suite.queue() == [], seconds)
    return set(suite.sent) <= set(arrived(suite)) and suite.queue() == []


def no_bounce(suite):
    return not suite.messages("bob@example.test")


def check(suite, ident, name, most=1):
    here = arrived(suite)
    lost = [m for m in suite.sent if m not in here]
    twice = {m: n for m, n in here.items() if n > most}
    if lost or twice:
        print(f"{name}: lost {lost}, too often {twice}, refused {suite.refused}")
    row(ident, name, settled(suite) and not twice and no_bounce(suite))


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_errors_in_the_queue(crash, error):
    """Small ones, and large ones that go through a file of their own; to a mailbox and to a next hop that says "later" once."""
    (queue,) = crash.pids("queue")
    crash.hop.script["MAIL"] = later_once(crash)
    for n in range(1, 9):
        with faults(queue, DISK, f"error={error}:when={n}"):
            send(crash, f"small-{n}", ["alice@example.test", "you@elsewhere.test"])
            time.sleep(0.3)  # its delivery, too
    for n in range(1, 13, 2):
        with faults(queue, DISK, f"error={error}:when={n}"):
            send(crash, f"large-{n}", size=150000)
    assert crash.pids("queue") == [queue], "it must not die of it"
    ready = pass_time(crash, lambda: all(relayed(crash)[m] for m in crash.sent if m.startswith("small")) and not files(crash))
    there = relayed(crash)
    check(crash, "C03", f"queue-{error}")
    row("C03", f"queue-{error}-relayed-once", ready and max(there.values()) == 1)
    assert crash.sent and not set(crash.refused) & set(arrived(crash)), "refused is not accepted"


def later_once(suite):
    seen = collections.Counter()

    def answer(line):
        seen["n"] += 1
        return "451 4.3.0 later" if seen["n"] % 2 else None
    return answer


@pytest.mark.parametrize("error", ["EIO", "EROFS"])
def test_a_disk_that_stays_sick(crash, error):
    """New files can still be made, but nothing of an old one can be changed or removed, nor can the index be written.  What was
    delivered is not delivered again, however long that lasts, and its file goes once the disk is well."""
    (queue,) = crash.pids("queue")
    crash.hop.script["MAIL"] = "451 4.3.0 later"
    with faults(queue, "unlinkat,renameat2,fdatasync,pwrite64", f"error={error}"):
        for i in range(4):
            send(crash, f"sick-{i}")
        send(crash, "two", ["alice@example.test", "you@elsewhere.test"])
        crash.wait_messages("alice@example.test", 1 + len(crash.sent) - 1)
        for seconds in (70, 130, 250):  # what a scan may find is looked for
            turn_clock(crash, seconds)
            time.sleep(1)
    assert "two" in crash.sent and "spool-not-removed" in crash.log() and "spool-slots-not-written" in crash.log()
    del crash.hop.script["MAIL"]
    pass_time(crash, lambda: not files(crash))
    row("C03", f"sick-{error}-removed", not files(crash) and relayed(crash)["two"] == 1)
    check(crash, "C03", f"sick-{error}")


def pass_time(suite, condition):
    """Until the condition holds, a minute of the suite's time every half second; most of an hour at most."""
    for _ in range(40):
        if condition():
            return True
        turn_clock(suite, 61)
        with contextlib.suppress(AssertionError):
            wait_until(condition, 0.5)
    return condition()


def files(suite):
    return [p for folder in ("new", "cur", "hold") for p in (suite.folder / "spool" / folder).glob("?/?/*")]


def test_an_index_that_cannot_be_written(crash):
    """What SQLite says only at the commit: a message that waits is tried again all the same."""
    (queue,) = crash.pids("queue")
    crash.hop.script["MAIL"] = "451 4.3.0 later"
    send(crash, "waits", ["you@elsewhere.test"])
    wait_until(lambda: [m for m in crash.queue() if m["last"]], what="a deferral")
    before = tries(crash)
    with faults(queue, "pwrite64", "error=ENOSPC"):
        wait_until(lambda: tries(crash) > before, 20, "another try")
        wait_until(lambda: "index-failed" in crash.log(), 20, "a word in the log")
    del crash.hop.script["MAIL"]
    pass_time(crash, lambda: relayed(crash)["waits"])
    row("C03", "index-commit", relayed(crash)["waits"] == 1)


def tries(suite):
    return sum(line.startswith("MAIL") for said in suite.hop.sessions for line, _ in said)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_errors_in_the_mailbox_worker(crash, error):
    """It dies of none, tells the queue "later", and leaves nothing half-written in new/."""
    for n in range(1, 13):
        with faults(mailbox_worker(crash), MAILBOX, f"error={error}:when={n}"):
            send(crash, f"m-{n}")
            time.sleep(0.1)
    settled(crash)
    check(crash, "C03", f"mailbox-{error}")
    assert all(len(text) > 100 for text in crash.messages("alice@example.test"))


def mailbox_worker(suite):
    """The child that writes Maildirs; it is kept for some seconds after its last message."""
    (local,) = [p for p in suite.pids("local") if parent(p) == suite.process.pid]
    wait_until(lambda: suite.children(local) or send(suite, f"again-{time.monotonic_ns()}") and False, 20, "a worker")
    return suite.children(local)[0]


def test_kills_of_the_mailbox_worker(crash):
    for n in range(1, 31, 2):
        with faults(mailbox_worker(crash), "all", f"signal=KILL:when={n}"):
            send(crash, f"k-{n}")
            time.sleep(0.05)
    settled(crash, 40)
    check(crash, "C02", "mailbox", most=2)


def test_kills_of_the_queue(crash):
    """The n-th call of any of its threads."""
    for n in range(1, 41, 3):
        (queue,) = crash.pids("queue")
        with faults(queue, "all", f"signal=KILL:when={n}"):
            send(crash, f"q-{n}", ["alice@example.test", "bob@example.test"], size=0 if n % 4 == 1 else 90000)
            with contextlib.suppress(AssertionError):
                wait_until(lambda: crash.pids("queue") != [queue], 0.5)
        turn_clock(crash, 90)  # the master's patience, too
        wait_until(lambda: crash.pids("queue"), 20, "the next queue")
    ready = settled(crash, 40)
    here, twice = arrived(crash), collections.Counter()
    for m, n in here.items():
        twice[n] += 1
    print(f"{len(crash.sent)} accepted, {len(crash.refused)} refused, copies: {dict(twice)}")
    row("C02", "queue", ready and max(here.values()) <= 2 and set(crash.sent) <= set(marks(crash.messages("bob@example.test"))) | {"warm"})


def test_a_clock_that_was_turned_back(crash):
    """Times in the index that no rule can have set: the clock was ahead when they were."""
    crash.hop.script["MAIL"] = "451 4.3.0 later"
    send(crash, "ahead", ["you@elsewhere.test"])
    wait_until(lambda: [m for m in crash.queue() if m["last"]], what="a deferral")
    crash.stop()
    del crash.hop.script["MAIL"]
    path = crash.folder / "spool" / "index.db"
    index = sqlite3.connect(path)
    with index:
        assert index.execute("UPDATE message SET next = next + 366 * 86400").rowcount == 1
    index.close()
    for name in path.parent.glob("index.db*"):
        os.chown(name, path.parent.stat().st_uid, path.parent.stat().st_gid)
    crash.launch()
    wait_until(lambda: relayed(crash)["ahead"], 20, "the message")
    row("C08", "clock-back", relayed(crash)["ahead"] == 1)


def number(n):
    return n.to_bytes(8, "big")


def text(words):
    return number(len(words)) + words.encode()


def turn_clock(suite, seconds):
    """Says clock.turn, which only a build for tests knows, on the control socket."""
    names = re.findall(r"^(?:MSG|REC)\((\w+),", (TOP / "common" / "ipc" / "messages.def").read_text(), re.M)
    field = text("forward_ms") + text(str(seconds * 1000))
    body = number(2**64 - 1) + text("clock.turn") + text("") + number(len(field) + 8) + number(len(field)) + field
    head = names.index("CONTROL_ASK").to_bytes(2, "big") + bytes(2) + len(body).to_bytes(4, "big") + number(1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(20)
        s.connect(str(suite.folder / "run" / "control"))
        s.send(head + body)
        answer = s.recv(100000)
    assert int.from_bytes(answer[16:24], "big") == 0, answer
