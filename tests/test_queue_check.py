"""queue check: the files of the queue against its index; a spool in which anything may lie, also while root looks."""

import json
import os
import shutil
import signal
import socket
import stat

import pytest

from harness import ROOT, make_owned, row, turn_clock, wait_until


@pytest.fixture
def deferring(suite, next_hop):
    suite.hop = next_hop(script={"MAIL": "451 4.3.0 not yet"})
    suite.internet = f'smtp "127.0.0.1:{suite.hop.port}"  allow-local yes  tls off'
    suite.settings += "trusted 127.0.0.0/8\n"
    suite.start()
    return suite


def send(suite, count):
    c = suite.smtp()
    c.ehlo()
    for n in range(count):
        c.message("alice@example.test", f"you{n}@elsewhere.test", f"Subject: {n}\n\n{n}\n")
    c.close()
    wait_until(lambda: len([q for q in suite.queue() if q["state"] == "waiting"]) == count, 30, "deferred messages")


def check(suite, *words):
    done = suite.postern("--json", "queue", "check", *words, check=False)
    found = json.loads(done.stdout)
    return done.returncode, {(f["finding"], f["id"] or f["path"]) for f in found[:-1]}, found[-1]["counts"]


def files(suite):
    return sorted(p for f in ("new", "cur", "hold") for p in (suite.folder / "spool" / f).rglob("*") if not p.is_dir())


def test_a_queue_that_runs(deferring):
    send(deferring, 3)
    code, found, counts = check(deferring)
    assert (code, found) == (0, set()) and counts["messages"] == 3 == counts["rows"], (code, found, counts)
    assert "3 messages (0 held), 3 rows in the index" in deferring.postern("queue", "check").stdout
    first, second, third = files(deferring)
    wrong = second.parent.parent / ("0" if second.parent.name != "0" else "1") / second.name
    make_owned(wrong.parent)
    second.rename(wrong)
    junk = first.parent / "notes.txt"
    junk.write_text("junk")
    (first.parent / ("0" * 11 + first.name[-2:])).symlink_to("/etc/passwd")
    if ROOT:
        shutil.chown(junk, first.stat().st_uid, first.stat().st_gid)
    damaged = bytearray(third.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    third.write_bytes(damaged)
    third.chmod(0o640)
    code, found, counts = check(deferring)
    expected = {("wrong-folder", second.name), ("no-file", second.name), ("corrupt", third.name), ("wrong-mode", third.name),
                ("not-a-message", str(junk.relative_to(deferring.folder / "spool"))), ("not-a-file", "0" * 11 + first.name[-2:])}
    assert code == 1 and found == expected, found ^ expected
    row("N02", "live-check-reports", counts["findings"] == len(expected))
    check(deferring, "--repair")
    wait_until(lambda: (deferring.folder / "spool" / "corrupt" / third.name[-2] / third.name[-1] / third.name).exists(), 20, "the corrupt")
    wait_until(lambda: second.name in {p.name for p in files(deferring)} and second.name in {q["id"] for q in deferring.queue()}, 20,
               "the message that was not found")
    # What was set aside leaves a row behind, which the next repair removes.
    wait_until(lambda: {f for f, _ in (check(deferring, "--repair"), check(deferring))[1][1]} == {"not-a-message", "not-a-file", "wrong-mode"}, 20, "the repair")
    row("N05", "check-repairs", junk.read_text() == "junk")


def test_words_that_are_no_place(deferring):
    """N05: what an operator, or who is the gate, passes on is a number or nothing."""
    for word in ("%s%n%s%n" * 1000, "../../etc", "-1", "99999999999999999999"):
        done = deferring.postern("queue", "check", word, check=False)
        assert done.returncode in (64, 75), done
        done = deferring.postern("queue", "show", word[:3000], check=False)
        assert done.returncode not in (0, -signal.SIGSEGV), done
    row("N05", "queue-words", deferring.postern("queue", "check").returncode == 0)


def plant(spool, owner):
    """What the queue's user could put into its own folder for root to fall over."""
    bucket = spool / "new" / "4" / "4"
    make_owned(bucket)
    names = ["00000000000" + "44", "10000000000" + "44", "20000000000" + "44", "30000000000" + "44", "40000000000" + "44"]
    (bucket / names[0]).symlink_to("/etc/shadow")
    os.mkfifo(bucket / names[1])
    (bucket / names[2]).mkdir()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(bucket / "s"))
    (bucket / "s").rename(bucket / names[3])
    if ROOT:
        os.mknod(bucket / names[4], stat.S_IFCHR | 0o600, os.makedev(1, 5))
    for name in ("index.db", "index.db-wal", "index.db-shm", "mark"):
        (spool / name).unlink(missing_ok=True)
    (spool / "index.db").symlink_to("/etc/passwd")
    os.mkfifo(spool / "index.db-wal")
    for path in bucket.iterdir():
        os.chown(path, *owner, follow_symlinks=False)
    return 5 if ROOT else 4


def test_a_stopped_spool_with_traps(deferring):
    """N02: root follows no link, opens no FIFO, reads nothing beyond; in fact root opens nothing beneath the spool."""
    send(deferring, 2)
    deferring.stop()
    spool = deferring.folder / "spool"
    code, found, counts = check(deferring, str(spool))
    assert (code, found) == (0, set()) and counts["messages"] == 2 == counts["rows"], (code, found, counts)
    owner = spool.stat().st_uid, spool.stat().st_gid
    planted = plant(spool, owner)
    before = {p: os.lstat(p).st_mtime_ns for p in spool.rglob("*")}
    done = deferring.postern("--json", "queue", "check", str(spool), check=False)
    found = [f["finding"] for f in json.loads(done.stdout)[:-1]]
    assert found.count("not-a-file") == planted and done.returncode == 1, done
    row("N02", "offline-traps", {p: os.lstat(p).st_mtime_ns for p in spool.rglob("*")} == before)
    passwd = os.stat("/etc/passwd")
    deferring.launch()
    send_over_traps = deferring.smtp()
    send_over_traps.ehlo()
    send_over_traps.message("alice@example.test", "you@elsewhere.test")
    send_over_traps.close()
    deferring.stop()
    row("L10", "start-over-traps", os.stat("/etc/passwd") == passwd and all(os.path.lexists(p) for p in before if p.name != "index.db-wal"))
    if ROOT:
        os.chown(spool, 0, 0)
        done = deferring.postern("queue", "check", str(spool), check=False)
        row("N02", "roots-own-folder", done.returncode == 64 and "belongs to root" in done.stderr)
        os.chown(spool, *owner)


def test_every_length_comes_back(deferring):
    """N21: what stands in a message file is the same after a restart, at the lengths where others cut."""
    c = deferring.smtp()
    c.ehlo()
    senders = []
    for length in (1, 63, 64):
        local = "a" * length
        c.message(f"{local}@example.test", "you@elsewhere.test", f"Subject: {length}\n\nx\n")
        senders.append(f"{local}@example.test")
    c.close()
    wait_until(lambda: len([q for q in deferring.queue() if q["state"] == "waiting"]) == 3, 30, "deferred messages")
    deferring.kill_all()
    deferring.launch()
    wait_until(lambda: sorted(q["sender"] for q in deferring.queue()) == sorted(senders), 30, "all senders")
    row("N21", "envelope-lengths", check(deferring)[0] == 0)


OWED, OPEN, CLOSED, NONE = "SRE", "WL", "DBFX", "Q"  # queue-manager/README.md: a byte for each recipient
END_BYTES = 48


def test_what_a_slot_may_say(deferring):
    """A message waits as long as a recipient does or a report is owed; with neither, or with what is no state, it is told of."""
    send(deferring, 1)
    path, = files(deferring)
    text, told = path.read_bytes(), {}
    assert text[-END_BYTES - 1:-END_BYTES] == b"W"
    turn_clock(deferring, 150)  # the file is not in the making any more
    with open(path, "r+b") as f:
        for slot in CLOSED + NONE + OPEN + OWED:
            f.seek(-END_BYTES - 1, os.SEEK_END)
            f.write(slot.encode())
            f.flush()
            told[slot] = check(deferring)[1]
    expected = {slot: set() if slot in OWED + OPEN else {("slots", path.name)} for slot in told}
    row("N02", "check-slots", told == expected)
    deferring.postern("queue", "retry", path.name)
    wait_until(lambda: " report-made " in deferring.log(), 30, "the report that was owed")
