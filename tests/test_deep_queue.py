"""A spool of many messages: ready at once, in little memory, and one dead destination delays nobody else.

POSTERN_DEEP says how many messages lie in the spool; the promise is about 100,000, which takes a minute to make."""

import os
import pathlib
import re
import signal
import socket
import sqlite3
import time

import pytest

from harness import make_owned, row, wait_until

DEPTH = int(os.environ.get("POSTERN_DEEP", "20000"))
LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
END_BYTES = 48


def crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


TABLE = crc_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def id_text(number):
    return "".join(LETTERS[number >> shift & 31] for shift in range(60, -1, -5))


def id_number(text):
    number = 0
    for letter in text:
        number = number << 5 | LETTERS.index(letter)
    return number


def copy_message(data, number):
    """The same message under another id: it stands in HDR and END, and the checksum covers both but not the slots."""
    ident = number.to_bytes(8, "big")
    end = data[-END_BYTES:]
    slots = int.from_bytes(end[40:44], "big")
    front = data[:16] + ident + data[24:-END_BYTES - slots]
    end = end[:8] + ident + end[16:44]
    return front + data[-END_BYTES - slots:-END_BYTES] + end + crc32c(end, crc32c(front)).to_bytes(4, "big")


def fill(spool, count):
    """`count` copies of the one message in the spool."""
    (template,) = [p for folder in ("new", "cur") for p in (spool / folder).glob("?/?/*")]
    data, owner = template.read_bytes(), template.stat()
    first = id_number(template.name)
    assert copy_message(data, first) == data
    for n in range(1, count):
        name = id_text(first - n * 0x101)
        path = spool / "new" / name[-2] / name[-1] / name
        make_owned(path.parent)
        path.write_bytes(copy_message(data, first - n * 0x101))
        os.chown(path, owner.st_uid, owner.st_gid)


def memory_mib(pid, what="VmHWM"):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+)", status)[1]) / 1024


def status(suite):
    return suite.postern("status", check=False).stdout


def fresh_mail_takes(suite):
    begun = time.monotonic()
    c = suite.smtp()
    c.ehlo()
    count = len(suite.messages("bob@example.test"))
    c.message("you@elsewhere.test", "bob@example.test", "Subject: fresh\n\nfresh\n")
    suite.wait_messages("bob@example.test", count + 1)
    c.close()
    return time.monotonic() - begun


def soon(suite):
    """Seconds in which a start and a fresh mail are over, however many messages lie there; a busy machine has more of them."""
    return 3 + 3 * suite.usual


@pytest.fixture
def deep(suite):
    """Not started; mail to others goes to a port where nobody listens."""
    suite.internet = 'smtp "127.0.0.1:1"  allow-local yes  tls off'
    suite.settings += "trusted 127.0.0.0/8\n"
    begun = time.monotonic()
    suite.start()
    suite.usual = time.monotonic() - begun  # with an empty spool
    c = suite.smtp()
    c.ehlo()
    c.message("alice@example.test", "you@elsewhere.test")
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    suite.stop()
    fill(suite.folder / "spool", DEPTH)
    return suite


def measure(suite, name):
    begun = time.monotonic()
    suite.launch()
    ready = time.monotonic() - begun
    (queue,) = suite.pids("queue")
    slowest = max(fresh_mail_takes(suite) for _ in range(10))
    wait_until(lambda: "scan done" in status(suite), 120, "the end of the scan")
    slowest = max(slowest, fresh_mail_takes(suite))
    wait_until(lambda: "in memory 0" in status(suite), 120, "everything put away")
    used = memory_mib(queue)
    print(f"{name}: {DEPTH} messages: ready {ready:.2f} s, slowest fresh mail {slowest:.2f} s, at most {used:.0f} MiB, "
          f"all put away after {time.monotonic() - begun:.1f} s")
    row("Q01", f"{name}-memory", used <= 64)
    row("Q01", f"{name}-ready", ready < soon(suite))
    row("Q01", f"{name}-fresh-mail", slowest < soon(suite))


def test_start_without_an_index_and_with_one(deep):
    drop_index(deep)
    measure(deep, "no-index")
    deep.stop()
    measure(deep, "index")
    assert deep.postern("queue", "list").stdout.count("\n") >= DEPTH
    deep.stop()
    make_all_due(deep)
    measure(deep, "all-due")
    deep.stop()
    make_all_due(deep)
    slow_next_hop(deep)
    deep.stop()
    drop_index(deep)
    without_policyd(deep)


def drop_index(suite):
    for path in (suite.folder / "spool").glob("index.db*"):
        path.unlink()


def make_all_due(suite):
    path = suite.folder / "spool" / "index.db"
    with sqlite3.connect(path) as index:
        index.execute("UPDATE message SET next = 1 WHERE held = 0")
    index.close()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        if (path.parent / name).exists():
            os.chown(path.parent / name, path.parent.stat().st_uid, path.parent.stat().st_gid)


def slow_next_hop(suite):
    """It takes connections and says nothing: the destination is not dead, and keeps what is being tried in memory."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        suite.internet = f'smtp "127.0.0.1:{server.getsockname()[1]}"  allow-local yes  tls off'
        suite.write_conf()
        suite.launch()
        (queue,) = suite.pids("queue")
        slowest = 0
        begun = time.monotonic()
        while time.monotonic() - begun < 10:
            slowest = max(slowest, fresh_mail_takes(suite))
        used = memory_mib(queue)
        print(f"slow next hop: at most {used:.0f} MiB, slowest fresh mail {slowest:.2f} s; "
              + "".join(l for l in status(suite).splitlines() if l.startswith("queue")))
        row("Q01", "slow-next-hop-memory", used <= 64)
        row("Q01", "slow-next-hop-fresh-mail", slowest < soon(suite))
        suite.kill("relay")  # it would wait for minutes


def without_policyd(suite):
    """Nobody answers what the queue asks of routes: what waits for an answer must not fill the memory."""
    suite.launch()
    suite.kill("policyd", signal.SIGSTOP)
    (queue,) = suite.pids("queue")
    time.sleep(8)
    used = memory_mib(queue)
    print(f"no policyd: at most {used:.0f} MiB; " + "".join(l for l in status(suite).splitlines() if l.startswith("queue")))
    suite.kill("policyd", signal.SIGCONT)
    row("Q01", "no-policyd-memory", used <= 64)
