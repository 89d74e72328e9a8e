"""What a crash or a sick disk finds on its way beside a message's own: starts, the operator's words, slots, the index, the clock."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import time

import pytest

from crash import STRIKE, WHOLE, Bench, Strike, struck
from harness import alive, make_owned, row, turn_clock, wait_until

pytestmark = [pytest.mark.root, pytest.mark.seconds(36000 if WHOLE else 400)]
SEED = int(os.environ.get("POSTERN_CRASH_SEED", random.randrange(10**6)))
LATER = "you@later.test"


@pytest.fixture
def bench(suite):
    """What is for LATER waits until may_come()."""
    if not STRIKE.exists():
        pytest.skip("tests/tools/strike is for x86_64")
    b = Bench(suite)
    b.clear()
    hop(b).script["MAIL"] = "451 4.3.0 later"
    yield b
    b.close()


def hop(b):
    return b.hops["later.test"]


def may_come(b):
    hop(b).script.pop("MAIL", None)


def waiting(b, mark, *more):
    """A message that has been tried; its id."""
    ident = b.send(mark, [LATER, *more]).split()[-1]
    wait_until(lambda: any(m["id"] == ident and m["last"] for m in listed(b)), what="a deferral")
    return ident


def hold(b, ident):
    """Held, and not only noted while an attempt runs."""
    b.suite.postern("queue", "hold", ident)
    wait_until(lambda: any(p.name == ident and p.parts[-4] == "hold" for p in b.files()), 30, "the move into hold/")


def listed(b):
    with contextlib.suppress(AssertionError, ValueError):
        return b.suite.queue()
    return []


def arrived(b, mark):
    return sum(f"\nSubject: {mark}\r\n".encode() in b"\n" + text for text in b.texts(LATER))


def pass_time(b, condition):
    """Until the condition holds, a minute of the suite's time every half second; most of an hour at most."""
    for _ in range(40):
        if condition():
            return True
        turn_clock(b.suite, 61)
        with contextlib.suppress(AssertionError):
            wait_until(condition, 0.5)
    return condition()


def chosen(numbers, few):
    return list(numbers) if WHOLE else sorted(random.Random(SEED).sample(list(numbers), few))


# ---- a disk that stays sick ----


@pytest.mark.parametrize("error", ["EIO", "EROFS"])
def test_a_disk_that_stays_sick(bench, error):
    """New files can still be made, but nothing of an old one can be changed or removed, nor can the index be written.  What was
    delivered is not delivered again, however long that lasts, and its file goes once the disk is well."""
    with struck(bench.pid("queue"), "calls=unlinkat,renameat2,fdatasync,pwrite64", "at=0", f"do={error}"):
        sent = [f"sick-{i}" for i in range(4) if bench.send(f"sick-{i}", ["alice@example.test"]).startswith("250")]
        assert bench.send("two", ["alice@example.test", LATER]).startswith("250")
        bench.suite.wait_messages("alice@example.test", len(sent) + 1)
        for seconds in (70, 130, 250):  # what a scan may find is looked for
            turn_clock(bench.suite, seconds)
            time.sleep(1)
        for event in ("spool-not-removed", "spool-slots-not-written"):
            bench.suite.wait_log(event)
    may_come(bench)
    pass_time(bench, lambda: not bench.files())
    row("C03", f"sick-{error}-removed", not bench.files() and arrived(bench, "two") == 1)
    here = [re.search(rb"^Subject: (\S+)$", text, re.M).group(1).decode() for text in bench.texts("alice@example.test")]
    row("C03", f"sick-{error}", sorted(here) == sorted([*sent, "two"]))


@pytest.mark.parametrize("size, restart", [(0, False), (150000, False), (0, True)], ids=["small", "large", "restart"])
def test_what_was_refused_does_not_come(bench, request, size, restart):
    """The disk turns read-only while a message is made durable: its file stays, but its client heard 451.  No scan takes it up, and it
    goes once the disk is well.  After a restart its slots say that it is done with, if the disk took that."""
    messages = lambda: [p for p in bench.files() if p.parts[-2] != "draft"]
    old = waiting(bench, "old")
    with struck(bench.pid("queue"), "calls=fsync,unlinkat" + ("" if restart else ",fdatasync,pwrite64"), "at=0", "do=EROFS"):
        reply = bench.send("refused", ["alice@example.test"], size)
        bench.suite.wait_log(" spool-not-removed ")
        left = [p.name for p in messages() if p.name != old]
        if restart:
            bench.again()
        else:
            bench.suite.wait_log(" index-failed ")
            for seconds in (70, 130, 250):  # what a scan may find is looked for
                turn_clock(bench.suite, seconds)
                time.sleep(1)
    may_come(bench)
    pass_time(bench, lambda: not messages())
    row("C03", f"refused-and-left-{request.node.callspec.id}", reply.startswith("451") and len(left) == 1 and not messages()
        and arrived(bench, "old") == 1 and not bench.texts("alice@example.test"))


def now_of_queue(b):
    rows = json.loads(b.suite.postern("--json", "status").stdout)
    return next(r["now"] for r in rows if r["role"] == "queue")


def test_a_sick_disk_takes_no_new_mail_until_it_is_well(bench):
    """After one sync that failed the next clients are told so without a try, what was accepted goes on, one line says that it
    began and one that it is over; and no file is synced twice."""
    waiting(bench, "old")
    assert now_of_queue(bench)["spool"] == "well"
    with struck(bench.pid("queue"), "calls=fsync", "at=0", "do=EIO") as strike:
        first = bench.send("first", ["alice@example.test"])
        bench.suite.wait_log(r" spool-sick error=\"Input/output error\"")
        wait_until(lambda: len(strike.lines("struck")) >= 2, what="a probe")  # the message, and a new file
        told = [bench.send(f"more-{size}", ["alice@example.test"], size) for size in (0, 0, 150000)]
        sick = now_of_queue(bench)["spool"]
        tried = [f for _, _, _, f in strike.lines("struck") if "/new/" in f]
        turn_clock(bench.suite, 2)
        wait_until(lambda: len(strike.lines("struck")) >= 3, what="another probe")
        may_come(bench)
        pass_time(bench, lambda: arrived(bench, "old"))
        repeated = strike.lines("repeated")
    row("C07", "sick-refuses", all(r.startswith("451 4.3.0") for r in [first, *told]) and len(tried) == 1)
    row("C07", "sick-goes-on", arrived(bench, "old") == 1 and not repeated)
    row("C07", "sick-status", sick == "sick: Input/output error")
    turn_clock(bench.suite, 31)
    bench.suite.wait_log(r" spool-well seconds=\d+ refused=3", 30)
    well = bench.send("well", ["alice@example.test"])
    row("C07", "sick-and-well", well.startswith("250") and bench.suite.log().count(" spool-sick ") == 1
        and bench.suite.log().count(" spool-well ") == 1 and now_of_queue(bench)["spool"] == "well")
    bench.suite.wait_messages("alice@example.test", 1)


# ---- the operator's words ----


def said(b, verb, n, thread):
    """One word of the operator's, with the queue killed at its n-th call; whether it was answered as done, and struck."""
    held = b.send(f"{verb}-{thread}-{n}", [LATER]).split()[-1]
    wait_until(lambda: any(m["id"] == held and m["last"] for m in listed(b)), what="a deferral")
    if verb == "release":
        hold(b, held)
    with struck(b.pid("queue"), f"thread={thread}", f"at={n}", "do=kill") as strike:
        answer = b.suite.postern("queue", verb, held, check=False)
        done = answer.returncode == 0 and "being tried" not in answer.stdout
        hit = strike.struck
    return held, done, hit


def problem_of(b, verb, mark, ident, done):
    """What was answered is so; and nothing is lost that was not removed."""
    there = {p.name: p.parts[-4] for p in b.files() if p.parts[-2] != "draft"}
    if verb == "hold" and done and there.get(ident) != "hold":
        return f"answered as held, and lies in {there.get(ident)}"
    if verb == "remove" and done and ident in there:
        return f"answered as removed, and lies in {there[ident]}"
    may_come(b)
    if verb == "hold":
        wait_until(lambda: b.suite.postern("queue", "release", ident, check=False).returncode == 0 or not b.files(), what="a release")
    wait_until(lambda: not b.files() or listed_held(b), 40, "an empty spool")
    if listed_held(b):  # the release was not answered, and not done
        b.suite.postern("queue", "release", ident, check=False)
        wait_until(lambda: not b.files(), 40, "an empty spool")
    copies = arrived(b, mark)
    if verb == "remove":
        return "answered as removed, and came" if done and copies else None
    return None if 1 <= copies <= 2 else f"{copies} copies"


def listed_held(b):
    return any(m["state"] == "hold" for m in listed(b))


@pytest.mark.parametrize("verb", ["hold", "release", "remove"])
def test_kills_while_the_operator_speaks(bench, verb):
    print(f"POSTERN_CRASH_SEED={SEED}")
    kills = bad = 0
    for thread, n in chosen([(0, n) for n in range(1, 33)] + [(1, n) for n in range(1, 17)] + [(2, n) for n in range(1, 9)], 4):
        bench.clear()
        hop(bench).script["MAIL"] = "451 4.3.0 later"
        ident, done, hit = said(bench, verb, n, thread)
        if hit:
            kills += 1
            wait_until(lambda: bench.suite.postern("queue", "list", check=False).returncode == 0, what="the next queue")
        problem = problem_of(bench, verb, f"{verb}-{thread}-{n}", ident, done)
        if problem:
            bad += 1
            print(f"BAD {verb} queue[{thread}] call {n} {hit}: {problem}")
        if hit:
            bench.again()
    print(f"KILL operator-{verb} queue kills={kills} against-the-oracle={bad}")
    row("C02", f"kill-{verb}", bad == 0)


# ---- starts ----

# All that changes something; and any.
CHANGES = "calls=fsync,fdatasync,unlinkat,renameat2,pwritev,pwrite64,ftruncate"


def put(b, files):
    owner = (b.suite.folder / "spool").stat()
    for path, content in files.items():
        make_owned(path.parent)
        path.write_bytes(content)
        path.chmod(0o600)
        os.chown(path, owner.st_uid, owner.st_gid)


def broken_start(b, files, *words):
    """The queue starts with these files and no index, and is killed; the next one finds what that left."""
    old, begun = b.pid("queue"), starts(b)
    strike = Strike(b.suite.process.pid, "birth=postern-queue", *words)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: not alive(old), what="the end of the queue")
    for path in [*(b.suite.folder / "spool").glob("index.db*"), *b.files()]:
        path.unlink()
    put(b, files)
    wait_until(lambda: strike.struck or starts(b) > begun, 120, "a start")
    with contextlib.suppress(AssertionError):
        wait_until(lambda: strike.struck, 5, "a kill after it")
    strike.end()
    return strike.struck


def starts(b):
    return b.suite.log().count(" child-ready role=queue ")


def test_kills_of_a_start(bench):
    """Messages that wait, one that is held, a draft and a file without its end; and no index."""
    print(f"POSTERN_CRASH_SEED={SEED}")
    waiting(bench, "first")
    waiting(bench, "second", "alice@example.test")
    held = waiting(bench, "held")
    hold(bench, held)
    files = {p: p.read_bytes() for p in bench.files()}
    whole = next(iter(files.values()))
    for ident, folder in (("0" * 11 + "aa", "new/a/a"), ("0" * 11 + "ab", "draft")):
        files[bench.suite.folder / "spool" / folder / ident] = whole[:-60]
    kills, bad = 0, 0
    for words in [[CHANGES, f"at={n}"] for n in chosen(range(1, 30), 2)] + [[f"at={n}"] for n in random.Random(SEED).sample(range(1, 18000), 40 if WHOLE else 2)]:
        bench.clear()
        hop(bench).script["MAIL"] = "451 4.3.0 later"
        hit = broken_start(bench, files, *words, "do=kill")
        kills += hit is not None
        may_come(bench)
        wait_until(lambda: bench.suite.postern("queue", "release", held, check=False).returncode == 0, what="a release")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not bench.files(), what="an empty spool")
        copies = {m: arrived(bench, m) for m in ("first", "second", "held")}
        if bench.files() or min(copies.values()) < 1 or max(copies.values()) > 2:
            bad += 1
            print(f"BAD start {words} {hit}: {copies} {bench.files()}")
        bench.again()
    print(f"KILL start queue kills={kills} against-the-oracle={bad}")
    assert kills > 0
    row("C02", "kill-start", bad == 0)


# ---- the index ----


def index_path(b):
    return b.suite.folder / "spool" / "index.db"


def own(b):
    owner = index_path(b).parent.stat()
    for path in index_path(b).parent.glob("index.db*"):
        os.chown(path, owner.st_uid, owner.st_gid)


def comes(b, *marks):
    """All of them, and once each."""
    may_come(b)
    pass_time(b, lambda: not b.files())
    return not b.files() and all(arrived(b, m) == 1 for m in marks)


def test_an_index_that_cannot_be_written(bench):
    """What SQLite says only at the commit: a message that waits is tried again all the same."""
    waiting(bench, "waits")
    tries = lambda: sum(line.startswith("MAIL") for said in hop(bench).sessions for line, _ in said)
    before = tries()
    with struck(bench.pid("queue"), "calls=pwrite64", "at=0", "do=ENOSPC"):
        wait_until(lambda: tries() > before, what="another try")
        wait_until(lambda: "index-failed" in bench.suite.log(), what="a word in the log")
    row("C03", "index-commit", comes(bench, "waits"))


def test_an_index_that_another_process_holds(bench):
    """While the queue runs nobody else can; before it starts, mail goes on without it."""
    waiting(bench, "first")
    other = sqlite3.connect(index_path(bench), timeout=0.1, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN EXCLUSIVE")
    other.close()
    bench.suite.stop()
    other = sqlite3.connect(index_path(bench), isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    own(bench)
    bench.suite.launch()
    local = bench.send("local", ["alice@example.test"]).startswith("250")
    second = bench.send("second", [LATER]).startswith("250")
    bench.suite.wait_messages("alice@example.test")
    row("C05", "index-locked", local and second and comes(bench, "first", "second"))
    other.close()


@pytest.mark.parametrize("what", ["gone", "wal-gone", "all-gone", "other-version", "read-only", "no-database", "a-folder"])
def test_an_index_that_is_not_what_it_was(bench, what):
    """Changed while nobody runs; and the -wal also under way.  The files win: what waits comes, what is held stays."""
    waiting(bench, "first")
    held = waiting(bench, "held")
    hold(bench, held)
    path = index_path(bench)
    if what == "wal-gone":
        (path.parent / "index.db-wal").unlink()
        waiting(bench, "second")
    bench.suite.kill_all()
    spoil(path, what)
    own(bench)
    bench.suite.launch()
    wait_until(lambda: any(m["id"] == held and m["state"] == "hold" for m in listed(bench)), what="the held one in the list")
    may_come(bench)
    pass_time(bench, lambda: arrived(bench, "first"))
    still = any(m["id"] == held and m["state"] == "hold" for m in listed(bench)) and not arrived(bench, "held")
    bench.suite.postern("queue", "release", held)
    row("C05", f"index-{what}", still and comes(bench, "first", "held", *(["second"] if what == "wal-gone" else [])))


def spoil(path, what):
    if what in ("gone", "all-gone", "a-folder"):
        path.unlink()
    if what in ("all-gone", "a-folder"):
        for other in path.parent.glob("index.db-*"):
            other.unlink()
    if what == "a-folder":
        path.mkdir()
    if what == "other-version":
        with contextlib.closing(sqlite3.connect(path)) as index:
            index.execute("PRAGMA user_version = 99")
            index.execute("DROP TABLE message")
            index.commit()
    if what == "read-only":
        path.chmod(0o400)
    if what == "no-database":
        path.write_bytes(b"no database\n" * 1000)


def test_an_index_with_broken_pages(bench):
    """Bytes of it are changed: found, or harmless."""
    print(f"POSTERN_CRASH_SEED={SEED}")
    for i in range(3):
        waiting(bench, f"m{i}")
    bench.suite.stop()
    with contextlib.closing(sqlite3.connect(index_path(bench))) as index:
        index.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool = bench.suite.folder / "spool"
    shutil.copytree(spool, bench.suite.folder / "kept", symlinks=True)
    content, bad = index_path(bench).read_bytes(), []
    chance = random.Random(SEED)
    for _ in range(60 if WHOLE else 3):
        where = sorted(chance.sample(range(len(content)), 40))
        spoiled = bytearray(content)
        for at in where:
            spoiled[at] ^= chance.randrange(1, 256)
        for path in [*spool.glob("index.db*"), *bench.files()]:
            path.unlink()
        put(bench, {spool / p.relative_to(bench.suite.folder / "kept"): p.read_bytes()
                    for p in (bench.suite.folder / "kept").glob("cur/?/?/*")})
        index_path(bench).write_bytes(spoiled)
        own(bench)
        bench.clear()
        bench.suite.launch()
        may_come(bench)
        if not comes(bench, "m0", "m1", "m2"):
            bad.append(where)
        bench.suite.kill_all()
    print("\n".join(f"BAD bytes {b}" for b in bad))
    row("C05", "index-broken-pages", not bad)


# ---- the clock ----


def test_a_clock_that_was_turned_back(bench):
    """Times in the index that no rule can have set: the clock was ahead when they were."""
    waiting(bench, "ahead")
    bench.suite.stop()
    may_come(bench)
    with contextlib.closing(sqlite3.connect(index_path(bench))) as index:
        assert index.execute("UPDATE message SET next = next + 366 * 86400").rowcount == 1
        index.commit()
    own(bench)
    bench.suite.launch()
    wait_until(lambda: arrived(bench, "ahead"), what="the message")
    row("C08", "clock-back", arrived(bench, "ahead") == 1)
