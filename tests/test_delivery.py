"""Where mail of this host ends: folders by header, quotas, mbox files, programs."""

import contextlib
import ctypes
import fcntl
import json
import mailbox
import multiprocessing
import os
import pathlib
import pwd
import re
import select
import signal
import sqlite3
import struct

import pytest

from harness import row, turn_clock, wait_until
from test_routes import rcpt


RACES = int(os.environ.get("POSTERN_RACES", "10"))  # messages for 100 recipients each


def deliver_by(suite, transport):
    """All mail for ours.test goes by this transport."""
    suite.tables += "table ours { ours.test }\n"
    suite.routes = "\tdeliver here if recipient.domain in ours\n" + suite.routes
    suite.transports += f"transport here {{ {transport} }}\n"
    return suite


def send(suite, to="bob@ours.test", text="Subject: hello\n\nhello\n", sender="you@elsewhere.test"):
    c = suite.smtp()
    c.ehlo()
    got = c.message(sender, to, text)
    c.close()
    assert got.startswith("250"), got
    return got.split()[-1]


def last_of(suite, needle=""):
    def look():
        return [m["last"] for m in suite.queue() if needle in m["last"] and m["last"]]
    return wait_until(look, what=f"a deferral with {needle!r}")[0]


def as_owner(suite):
    return "user " + pwd.getpwuid((suite.folder / "mail").stat().st_uid).pw_name


@pytest.fixture
def boxes(suite, tmp_path):
    """The folder that holds the mailboxes, which their owner can walk to."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    return suite.folder / "mail"


def files(folder):
    return sorted(folder.iterdir()) if folder.is_dir() else []


# ---- Maildirs ----

def test_junk_goes_to_its_folder(suite, boxes):
    deliver_by(suite, f'maildir "{boxes}/{{local}}/" {as_owner(suite)} junk "X-Spam-Flag: YES" Junk').start()
    send(suite, text="Subject: buy\nX-SPAM-FLAG:  yes\n\nbuy\n")
    send(suite, text="Subject: no\nX-Spam-Flag: NO\n\nX-Spam-Flag: YES\n")
    junk = boxes / "bob" / ".Junk"
    wait_until(lambda: files(junk / "new") and files(boxes / "bob" / "new"), what="both")
    assert len(files(junk / "new")) == 1 and len(files(boxes / "bob" / "new")) == 1
    assert (junk / "maildirfolder").exists()
    assert all(f.stat().st_mode & 0o077 == 0 for f in [junk, junk / "cur", junk / "new", junk / "tmp"])


def test_fields_that_are_added(suite, boxes):
    deliver_by(suite, f'maildir "{boxes}/{{local}}/" {as_owner(suite)} add envelope-to delivery-date')
    suite.tables += 'table aliases { "info@ours.test: bob" }\n'
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    send(suite, "info@ours.test")
    (path,) = wait_until(lambda: files(boxes / "bob" / "new"), what="a message")
    lines = path.read_text().splitlines()
    assert lines[:3] == ["Return-Path: <you@elsewhere.test>", "Delivered-To: bob@ours.test", "Envelope-To: info@ours.test"]
    assert re.match(r"Delivery-Date: \w{3}, \d+ \w{3} \d{4} ", lines[3])


def test_a_full_mailbox_waits_and_comes_once_there_is_room(suite, boxes):
    deliver_by(suite, f'maildir "{boxes}/{{local}}/" {as_owner(suite)} quota 64K').start()
    text = "Subject: big\n\n" + ("x" * 70 + "\n") * 500
    for _ in range(2):
        send(suite, text=text)
    assert "452 4.2.2" in last_of(suite, "mailbox is full")
    new = boxes / "bob" / "new"
    (path,) = files(new)
    row("L04", "quota", len(files(new)) == 1)
    assert ",S=" in path.name and int(re.search(r",S=(\d+)", path.name).group(1)) == path.stat().st_size
    first, *rest = (boxes / "bob" / "maildirsize").read_text().splitlines()
    assert first == "65536S" and sum(int(line.split()[0]) for line in rest) == path.stat().st_size
    c = suite.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    assert wait_until(lambda: (got := c.command("RCPT TO:<bob@ours.test>")).startswith("452 4.2.2") and got, what="a refusal at RCPT")
    c.expect(250, "RCPT TO:<carol@ours.test>")
    c.close()
    path.unlink()
    size = boxes / "bob" / "maildirsize"
    os.utime(size, (1, 1))
    suite.postern("queue", "retry", "all")
    wait_until(lambda: files(new), what="the other")
    wait_until(lambda: not suite.queue(), what="an empty queue")
    c = suite.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    c.expect(250, "RCPT TO:<bob@ours.test>")
    c.close()


def test_a_quota_by_table(suite, boxes):
    """What the command sets counts for mail that waits, and at RCPT, at once; what cannot be known only delays.  (Of a file: cli/test_table_rows.c)"""
    path = suite.folder / "users" / "quotas"
    suite.tables += f'table quotas sqlite "{path}" "select quota from quotas where address = ? collate binary"\n'
    suite.settings += 'sub-address "+"\n'
    deliver_by(suite, f'maildir "{boxes}/{{local}}/" {as_owner(suite)} quota quotas 64K')
    suite.write_conf()

    def quota(*words, code=0):
        done = suite.postern("user", "quota", *words, "--json", check=False)
        assert done.returncode == code, done
        return json.loads(done.stdout)[0] if code == 0 else done.stderr

    # Both or neither; and the table is there before anybody has an entry in it.
    suite.postern("user", "add", "bob@ours.test", "--generate")
    assert path.is_file()
    assert quota("bob@ours.test") == {"address": "bob@ours.test", "transport": "here", "used": "not counted yet", "quota": "64K",
                                      "limit": 65536, "by": "transport here"}
    suite.postern("user", "add", "carol@ours.test", "--generate", "--quota", "500M 100")
    assert quota("carol@ours.test", "default")["was"] == "500M 100"
    assert suite.postern("user", "add", "bob@ours.test", "--generate", "--quota", "1G", check=False).returncode == 1
    assert suite.postern("user", "add", "dave@ours.test", "--generate", "--quota", "lots", check=False).returncode == 64
    assert "dave" not in suite.postern("user", "list").stdout
    assert quota("bob@ours.test", "64K", "1")["was"] == "default"
    suite.start(users=())
    send(suite)
    send(suite)
    assert "1 of 1 messages" in last_of(suite, "mailbox is full")
    wait_until(lambda: rcpt(suite, "bob@ours.test").startswith("452 4.2.2"), what="a refusal at RCPT")
    assert rcpt(suite, "carol@ours.test").startswith("250")
    shown = quota("BOB@ours.test")
    assert (shown["messages"], shown["limit_messages"], shown["quota"], shown["by"]) == (1, 1, "64K 1", "table quotas, by its address")
    assert quota("bob@ours.test", "1G")["was"] == "64K 1"
    assert rcpt(suite, "bob@ours.test").startswith("250")
    suite.postern("queue", "retry", "all")
    wait_until(lambda: len(files(boxes / "bob" / "new")) == 2, what="what had waited")
    assert (boxes / "bob" / "maildirsize").read_text().startswith("1073741824S\n")
    # The transport's own for who is not there; none for whom the table says so.
    send(suite, "carol@ours.test", "Subject: big\n\n" + ("x" * 70 + "\n") * 1000)
    assert "0 of 65536 bytes" in last_of(suite, "mailbox is full")
    assert quota("carol@ours.test", "none")["quota"] == "none"
    suite.postern("queue", "retry", "all")
    wait_until(lambda: files(boxes / "carol" / "new"), what="a big one")
    for words, code in ((["bob@ours.test", "1K"], 64), (["bob", "1G"], 64), (["bob@ours.test", "1G", "--transport", "there"], 64)):
        quota(*words, code=code)
    assert quota("bob@ours.test")["quota"] == "1G"
    # By the keys that policyd asks for: the first that stands there decides, also without a value.
    assert (quota("BOB+tag@ours.test")["quota"], quota("erin@ours.test")["by"]) == ("1G", "transport here")
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO quotas VALUES ('@ours.test', '2G'), ('dave@ours.test', '')")
    assert (quota("erin@ours.test")["by"], quota("dave@ours.test")["by"]) == ("table quotas, by its domain", "transport here")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE quotas SET quota = 'lots' WHERE address = 'bob@ours.test'")
    send(suite)
    last_of(suite, "how much the mailbox may hold")
    assert rcpt(suite, "bob@ours.test").startswith("250")


@pytest.mark.parametrize("what", ["garbage", "another limit", "negative", "huge"])
def test_a_maildirsize_that_is_wrong_is_counted_anew(suite, boxes, what):
    deliver_by(suite, f'maildir "{boxes}/{{local}}/" {as_owner(suite)} quota 64K').start()
    send(suite)
    wait_until(lambda: files(boxes / "bob" / "new"), what="a message")
    size = boxes / "bob" / "maildirsize"
    text = {"garbage": "\0\xff\n", "another limit": "999S\n60000 1\n", "negative": "65536S\n-5 -1\n", "huge": "65536S\n" + "9" * 30 + " 1\n"}[what]
    size.write_text(text)
    send(suite)
    wait_until(lambda: len(files(boxes / "bob" / "new")) == 2, what="the second")
    assert size.read_text().startswith("65536S\n")


def swap(pairs, over, swaps):
    """Each folder for its link and back, as fast as the kernel does it: there is always one of them."""
    exchange = ctypes.CDLL(None).renameat2
    while not over.is_set():
        for one, other in pairs:
            exchange(-100, one, -100, other, 2)  # AT_FDCWD, RENAME_EXCHANGE
        swaps.value += 1


@contextlib.contextmanager
def swapped(*folders, trap):
    """Beside each folder lies a link to the trap, and a process exchanges them."""
    pairs, over, swaps = [], multiprocessing.Event(), multiprocessing.Value("Q", 0, lock=False)
    for folder in folders:
        link = folder.with_name(folder.name + ".link")
        link.symlink_to(trap)
        pairs.append((bytes(folder), bytes(link)))
    racer = multiprocessing.Process(target=swap, args=(pairs, over, swaps), daemon=True)
    racer.start()
    try:
        yield swaps
    finally:
        over.set()
        racer.join()


@pytest.mark.seconds(150 if RACES <= 10 else 3600)
def test_a_folder_that_is_swapped_all_the_time(suite, boxes, tmp_path):
    """A folder on the way to the mailboxes, and one in a mailbox, are exchanged for links, again and again: no byte ever gets where they lead."""
    deliver_by(suite, f'maildir "{boxes}/{{domain}}/x/{{local}}/" {as_owner(suite)}').start()
    trap, domain = tmp_path / "trap", boxes / "ours.test"
    way = domain / "x"
    inside = way / "b0" / "new"
    for folder in (trap, domain, way):
        folder.mkdir()
        folder.chmod(0o777)
    inside.mkdir(parents=True)
    for folder in (inside.parent, inside):
        os.chown(folder, boxes.stat().st_uid, boxes.stat().st_gid)
        folder.chmod(0o700)
    with swapped(inside, way, trap=trap) as swaps:
        for _ in range(RACES):
            send(suite, [f"b{i}@ours.test" for i in range(100)])
        wait_until(lambda: len(re.findall(r" (?:delivered|deferred) ", suite.log())) >= 100 * RACES, 10 * RACES, "all attempts")
    delivered = len(re.findall(r" delivered ", suite.log()))
    there = {f.name for f in domain.rglob("new*/*")}
    print(f"RACE deliveries={100 * RACES} swaps={swaps.value} delivered={delivered} in-folders={len(there)} outside={len(list(trap.rglob('*')))}")
    row("L03", "swapped-all-the-time", not list(trap.rglob("*")))
    assert 0 < len(there) == delivered


# ---- mbox ----

def read_mbox(path):
    """As another program reads it."""
    return list(mailbox.mbox(path, create=False))


def test_an_mbox_is_read_by_others(suite, boxes):
    deliver_by(suite, f'mbox "{boxes}/{{local}}" {as_owner(suite)}').start()
    body = "From here on\n>From there\nnot From\n\nFrom\n"
    for i in range(3):
        send(suite, text=f"Subject: {i}\n\n{body}")
    path = boxes / "bob"
    wait_until(lambda: path.exists() and len(read_mbox(path)) == 3, what="three messages")
    for message in read_mbox(path):
        got = message.get_payload()
        assert re.sub(r"(?m)^>(>*From )", r"\1", got).rstrip("\n") == body.rstrip("\n")
    assert sorted(m["Subject"] for m in read_mbox(path)) == ["0", "1", "2"]
    assert path.stat().st_mode & 0o777 == 0o600
    wait_until(lambda: not (boxes / "bob.lock").exists(), what="the end of the lock")


@pytest.mark.parametrize("mode, after", [(0o660, 0o660), (0o666, 0o660), (0o600, 0o600)])
def test_the_mode_of_an_mbox_is_kept_or_narrowed(suite, boxes, mode, after):
    deliver_by(suite, f'mbox "{boxes}/{{local}}" {as_owner(suite)}').start()
    path = boxes / "bob"
    path.write_text("From a@b Thu Jan  1 00:00:00 1970\n\nold, without an end")
    os.chown(path, boxes.stat().st_uid, boxes.stat().st_gid)
    path.chmod(mode)
    send(suite)
    wait_until(lambda: len(read_mbox(path)) == 2, what="a second message")
    assert path.stat().st_mode & 0o777 == after


def test_an_mbox_may_be_larger_than_any_message(suite, boxes):
    """A limit on what a process writes into a file counts from the file's start."""
    deliver_by(suite, f'mbox "{boxes}/{{local}}" {as_owner(suite)}').start()
    path, size = boxes / "bob", 5 << 30
    path.touch()
    os.truncate(path, size)  # a hole
    os.chown(path, boxes.stat().st_uid, boxes.stat().st_gid)
    path.chmod(0o600)
    send(suite)
    wait_until(lambda: path.stat().st_size > size, what="the message behind 5 GiB")
    path.unlink()


@pytest.mark.parametrize("what", ["link", "hard link", "fifo", "folder"])
def test_an_mbox_that_is_no_plain_file_waits(suite, boxes, tmp_path, what):
    deliver_by(suite, f'mbox "{boxes}/{{local}}" {as_owner(suite)}').start()
    path, trap = boxes / "bob", boxes / "trap"
    trap.write_text("")
    os.chown(trap, boxes.stat().st_uid, boxes.stat().st_gid)
    if what == "link":
        path.symlink_to(trap)
    elif what == "hard link":
        os.link(trap, path)
    elif what == "fifo":
        os.mkfifo(path)
        os.chown(path, boxes.stat().st_uid, boxes.stat().st_gid)
    else:
        path.mkdir()
    send(suite)
    said = last_of(suite)
    row("L02" if what == "fifo" else "L01", f"mbox-{what.replace(' ', '-')}", bool(said) and trap.read_text() == "")


def test_a_lock_of_another_is_waited_for(suite, boxes):
    deliver_by(suite, f'mbox "{boxes}/{{local}}" {as_owner(suite)}').start()
    lock = boxes / "bob.lock"
    lock.write_text("")
    send(suite)
    assert "locked" in last_of(suite)
    assert not (boxes / "bob").exists() or (boxes / "bob").stat().st_size == 0
    lock.unlink()
    suite.postern("queue", "retry", "all")
    wait_until(lambda: (boxes / "bob").exists() and len(read_mbox(boxes / "bob")) == 1, what="the message")


OLD = "From a@b Thu Jan  1 00:00:00 1970\nSubject: old\n\nold\n\n"
PART = "From x@y Thu Jan  1 00:00:00 1970\nSubject: part\n\nthe begin"
OTHERS = "\n\nFrom c@d Thu Jan  1 00:00:00 1970\nSubject: another's\n\nby another\n\n"


@pytest.mark.parametrize("what, behind, after, left", [
    ("part", PART, 300, ["old", "0"]),
    ("whole", PART + "ning\n\n", len(PART) + 6, ["old", "part", "0"]),
    ("anothers-behind-it", PART + OTHERS, 300, ["old", "part", "another's", "0"]),
    ("anothers-in-its-line", PART + OTHERS.lstrip(), 300, ["old", "part", "0"]),
    ("other-text", PART.replace("x@y", "z@y"), 300, ["old", "part", "0"]),
    ("nothing-begun", "", 0, ["old", "0"]),
])
def test_what_a_dead_delivery_left_in_an_mbox(suite, boxes, what, behind, after, left):
    """Its lock says where it began and would have ended: a part of a message is cut off, and nothing else is."""
    deliver_by(suite, f'mbox "{boxes}/{{local}}" {as_owner(suite)}').start()
    path, lock = boxes / "bob", boxes / "bob.lock"
    path.write_text(OLD + behind)
    lock.write_text("postern\n" + (f"{len(OLD)} {len(OLD) + after}\n{PART.splitlines()[0]}\n" if after else ""))
    for p in (path, lock):
        os.chown(p, boxes.stat().st_uid, boxes.stat().st_gid)
        p.chmod(0o600)
    send(suite, text="Subject: 0\n\nhello\n")
    wait_until(lambda: not suite.queue(), what="the delivery")
    row("L02", f"mbox-left-{what}", [m["Subject"] for m in read_mbox(path)] == left and not lock.exists() and
        ("another's" in behind) == ("by another" in path.read_text()))


# ---- programs ----

@pytest.fixture
def program(suite, boxes):
    """A program that writes what it got into its folder."""
    place = boxes / "out"
    place.mkdir()
    os.chown(place, boxes.stat().st_uid, boxes.stat().st_gid)

    def write(lines):
        path = boxes / "program"
        path.write_text(f"#!/bin/sh\nout={place}\n" + lines)
        path.chmod(0o755)
        return path
    write.place = place
    return write


def test_a_program_gets_the_message(suite, boxes, program):
    path = program('cat > $out/message; printf "%s\\n" "$@" > $out/words; env > $out/env; id -u > $out/uid\n')
    deliver_by(suite, f'pipe {path} "--to" "{{recipient}}" "a b;$(id)" {as_owner(suite)}').start()
    send(suite, text="Subject: x\n\nFrom here\nend\n")
    wait_until(lambda: (program.place / "uid").exists() and (program.place / "uid").read_text(), what="the program")
    got = (program.place / "message").read_text()
    assert got.startswith("Return-Path: <you@elsewhere.test>\nDelivered-To: bob@ours.test\n") and got.endswith("\nFrom here\nend\n") and "\r" not in got
    row("S20", "pipe-words-are-words", (program.place / "words").read_text() == "--to\nbob@ours.test\na b;$(id)\n")
    names = {line.split("=")[0] for line in (program.place / "env").read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "SHELL", "LANG", "HOME", "USER", "LOGNAME", "SENDER", "RECIPIENT",
                                                       "ORIGINAL_RECIPIENT", "LOCAL", "DOMAIN"}
    assert int((program.place / "uid").read_text()) == boxes.stat().st_uid


def runner(suite):
    found = [p for p in suite.children(suite.pids("local")[0]) if pathlib.Path(f"/proc/{p}/comm").read_text().strip() == "programs"]
    return found[0] if found else None


@pytest.mark.parametrize("code, outcome", [(75, "later"), (71, "later"), (1, "back"), (67, "back"), (69, "back"), (127, "back")])
def test_exit_codes(suite, boxes, program, code, outcome):
    path = program(f"cat >/dev/null; echo because; exit {code}\n")
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    ident = send(suite)
    if outcome == "later":
        assert "because" in last_of(suite)
    else:
        status = "5.1.1" if code == 67 else "5.3.0"  # in the queue's line, which may be behind that of the delivery
        wait_until(lambda: [line for line in suite.log().splitlines() if all(word in line for word in (ident, "failed", "because", status))],
                   what="a failure")


@pytest.mark.parametrize("lines, words", [
    ("kill -9 $$\n", "signal 9"),
    ("sleep 600\n", "longer than 1 s"),
    ("trap '' TERM; sleep 600 & sleep 600\n", "longer than 1 s"),
])
def test_programs_that_do_not_end_well_are_tried_again(suite, program, lines, words):
    path = program("echo $$ > $out/pid\n" + lines)
    deliver_by(suite, f"pipe {path} {as_owner(suite)} timeout 1s").start()
    send(suite)
    assert words in last_of(suite)
    pid = int((program.place / "pid").read_text())
    gone = wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="its end")
    row("S20", "program-is-ended", gone)


def to_the_feeder(name):
    """Lines that send a signal to the worker's other child."""
    return ("for s in /proc/[0-9]*/stat; do\n"
            "  read -r pid comm state parent rest < $s 2>/dev/null || continue\n"
            f"  [ \"$parent\" = $PPID ] && [ $pid != $$ ] && kill -{name} $pid && echo $pid >> $out/hit\n"
            "done\n")


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV"])
def test_a_message_that_was_cut_short_is_not_delivered(suite, program, name):
    """Who writes it into the program is killed: the program sees an end, and says that all is well."""
    path = program(f"head -c 1000 > $out/part\n{to_the_feeder(name)}cat > $out/rest; exit 0\n")
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    send(suite, text="Subject: long\n\n" + "0123456789abcdef\n" * 60000)
    said = last_of(suite)
    assert (program.place / "hit").read_text().split(), said
    row("S20", f"cut-short-{name}", "could not be read to its end" in said)


def test_a_program_that_stops_who_feeds_it(suite, program):
    """Who is stopped does not end of a SIGTERM: nobody may wait for that."""
    path = program(f"head -c 1000 > $out/part\n{to_the_feeder('STOP')}exit 0\n")
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    send(suite, text="Subject: long\n\n" + "0123456789abcdef\n" * 60000)
    wait_until(lambda: (program.place / "hit").exists() and not suite.queue(), what="the delivery")
    row("S20", "feeder-STOP", len((program.place / "hit").read_text().split()) == 1)


def test_a_program_need_not_read_to_the_end(suite, program):
    path = program("exec < /dev/null; touch $out/done; exit 0\n")
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    send(suite, text="Subject: long\n\n" + "0123456789abcdef\n" * 60000)
    wait_until(lambda: (program.place / "done").exists() and not suite.queue(), what="the delivery")


def test_a_program_that_cannot_begin_has_its_time_and_no_more(suite, program):
    """Its file is leased, so that execve waits, for 45 s, for the holder to give it back."""
    path = program("touch $out/ran\n")
    deliver_by(suite, f"pipe {path} {as_owner(suite)} timeout 1s").start()
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        send(suite)
        said = last_of(suite)
    finally:
        os.close(fd)
        signal.signal(signal.SIGIO, before)
    row("S20", "beginning-has-its-time", "could not be begun within 1 s" in said and not (program.place / "ran").exists())


LATER = "#!/bin/sh\necho $$ >> $out/left\nwhile [ ! -e $out/go ]; do sleep 0.2; done\ntouch $out/late\n"
ON_AND_ON = """#!/usr/bin/python3
import os
out, generation = os.environ["out"], 0
while generation == 0 or os.fork() == 0 or os._exit(0):
    os.setsid() if os.getsid(0) != os.getpid() else None
    generation += 1
    if generation == 100:
        print(os.getpid(), file=open(out + "/left", "a"))
"""


@pytest.fixture
def later(program):
    """What a program may leave behind: it would write a file later.  The beginning of such programs."""
    for name, text in (("later", LATER), ("on-and-on", ON_AND_ON)):
        path = program.place.parent / name
        path.write_text(text)
        path.chmod(0o755)
    return f"cat >/dev/null; export out; later={program.place.parent}/later on={program.place.parent}/on-and-on\n"


def await_left(count):
    return f"while [ $(cat $out/left | wc -l) -lt {count} ]; do sleep 0.1; done 2>/dev/null\n"


def gone(program):
    """Whose numbers were left in a file."""
    def look():
        left = (program.place / "left").read_text().split() if (program.place / "left").exists() else []
        return left and not [p for p in left if pathlib.Path(f"/proc/{p}").exists()]
    return wait_until(look, what="the end of what it left behind")


def children_of(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("way, lines, count", [
    ("group", "$later &\n", 1),
    ("session", "setsid $later &\n", 1),
    ("forked-twice", "(setsid sh -c '$0 & $0 & exit 0' $later &)\n", 2),
    ("forks-on-and-on", "$later & $on &\n", 2),
])
def test_what_a_program_leaves_behind_is_killed(suite, program, later, way, lines, count):
    """In its group, in a session of its own, with no parent left, or in a generation that nobody has seen yet."""
    path = program(later + lines + await_left(count))
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    send(suite)
    ended = gone(program)
    (program.place / "go").touch()
    wait_until(lambda: not suite.queue(), what="the delivery")
    left = [child for worker in children_of(runner(suite)) for child in children_of(worker)]
    row("S20", f"left-behind-{way}", ended and not left and not (program.place / "late").exists())


@pytest.mark.root
@pytest.mark.parametrize("name", ["KILL", "STOP"])
def test_a_program_that_does_away_with_its_worker(suite, program, later, name):
    """It is the same user; what it leaves behind goes to who made the worker, and ends there."""
    path = program(f"{later}[ ! -e $out/left ] || exit 0\nsetsid $later &\n{await_left(1)}kill -{name} $PPID; sleep 611\n")
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    send(suite)
    ended = gone(program)
    said = last_of(suite)
    (program.place / "go").touch()
    suite.postern("queue", "retry", "all")
    wait_until(lambda: not suite.queue(), what="the second attempt")
    row("S20", f"worker-{name}", ended and said.startswith("4") and not (program.place / "late").exists())


@contextlib.contextmanager
def silent_folder(place):
    """A file system (FUSE) that takes what it is asked and never answers: not even SIGKILL ends who waits for it."""
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"silent", os.fsencode(place), b"fuse", 0, options) == -1:
            pytest.skip(f"no FUSE here: {os.strerror(ctypes.get_errno())}")
        unique = struct.unpack_from("=8xQ", os.read(fd, 1 << 17))[0]
        os.write(fd, struct.pack("=IiQIIIIHHII36x", 80, 0, unique, 7, 31, 0, 0, 12, 9, 4096, 1))

        def is_asked():
            return select.select([fd], [], [], 0)[0] and os.read(fd, 1 << 17)
        yield is_asked
    finally:
        os.close(fd)
        libc.umount2(os.fsencode(place), 2)


@pytest.mark.root
@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="there is no FUSE")
def test_who_cannot_be_killed_costs_his_own_user_only(suite, boxes, program):
    """He is left with the runner; of the same user 70 workers are killed meanwhile, and then it is another's turn."""
    path = program(f"cat >/dev/null\nif [ $1 = other ]; then id -un > $out/other; exit 0; fi\n"
                   f"mkdir $out/first 2>/dev/null && setsid cat {boxes}/silent/file &\n"
                   "while [ ! -e $out/go ]; do sleep 0.1; done\nkill -KILL $PPID; sleep 613\n")
    program.place.chmod(0o777)
    suite.tables += "table others { others.test }\n"
    suite.routes = "\tdeliver other if recipient.domain in others\n" + suite.routes
    suite.transports += f'transport other {{ pipe {path} "other" user games }}\n'
    with silent_folder(boxes / "silent") as is_asked:
        deliver_by(suite, f'pipe {path} "own" {as_owner(suite)}').start()
        send(suite, [f"a{i}@ours.test" for i in range(70)])
        wait_until(is_asked, what="somebody who waits for good")
        (program.place / "go").touch()
        wait_until(lambda: suite.log().count(" mailbox-failed ") >= 70, what="70 ends")
        send(suite, "bob@others.test")
        got = wait_until(lambda: (program.place / "other").exists() or [m for m in suite.queue() if "do not end" in m["last"]], what="the other's program")
        row("S20", "left-by-another", got is True)


@pytest.mark.parametrize("sender", ["() { :;}; echo hi >x", "a\"b", "-oQ/tmp", "a" * 60])
def test_what_the_environment_never_holds(suite, program, sender):
    """S11: a shell that takes a value for a function."""
    path = program('cat >/dev/null; printf "%s" "$SENDER" > $out/sender; touch $out/done\n')
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    c = suite.smtp()
    c.ehlo()
    quoted = '"' + sender.replace("\\", "\\\\").replace('"', '\\"') + '"'
    got = c.command(f"MAIL FROM:<{quoted}@elsewhere.test>")
    if not got.startswith("250"):
        row("S11", f"sender-{sender[:8]}", True)
        return
    c.expect(250, "RCPT TO:<bob@ours.test>")
    assert c.data("Subject: x\n\nx\n").startswith("250")
    wait_until(lambda: (program.place / "done").exists(), what="the program")
    value = (program.place / "sender").read_text()
    row("S11", f"sender-{sender[:8]}", "() {" not in value and "\n" not in value)


@pytest.mark.parametrize("local", ["-bs", "--help"])
def test_no_word_becomes_an_option(suite, program, local):
    path = program("cat >/dev/null; touch $out/ran\n")
    deliver_by(suite, f'pipe {path} "{{recipient}}" {as_owner(suite)}').start()
    c = suite.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    got = c.command(f"RCPT TO:<{local}@ours.test>")
    if got.startswith("250"):
        ident = c.data("Subject: x\n\nx\n").split()[-1]
        wait_until(lambda: any(ident in line and "failed" in line for line in suite.log().splitlines()), what="a refusal")
    row("O01", f"pipe-{local}", not (program.place / "ran").exists())


def test_a_program_that_is_not_there_is_our_own_fault(suite, boxes):
    deliver_by(suite, f"pipe {boxes}/none {as_owner(suite)}").start()
    send(suite)
    assert "cannot be begun" in last_of(suite)


def started(program):
    return len(list(program.place.glob("at-*")))


WAITING = 'cat >/dev/null; touch $out/at-$$; while [ ! -e $out/go ]; do sleep 0.2; done\n'


def test_programs_that_wait_hold_up_few(suite, program):
    """Nobody waits behind one program while another worker may be had, and what waits for long is told so."""
    path = program(WAITING)
    deliver_by(suite, f"pipe {path} {as_owner(suite)} timeout 10m").start()
    for _ in range(5):
        send(suite)
    wait_until(lambda: started(program) == 4, what="four programs at a time")
    turn_clock(suite, 601)
    assert "too busy" in last_of(suite)
    row("S20", "programs-a-user", started(program) == 4)
    (program.place / "go").touch()
    wait_until(lambda: len(suite.queue()) == 1, what="the four that began")


@pytest.mark.root
def test_sleeping_programs_leave_workers_for_mailboxes(suite, boxes, program):
    path = program(WAITING)
    (suite.folder / "mail" / "out").chmod(0o777)
    groups = ["daemon", "games", "man", "news", "mail"]
    for g in groups:
        suite.tables += f"table t{g} {{ {g}.test }}\n"
        suite.routes = f"\tdeliver p{g} if recipient.domain in t{g}\n" + suite.routes
        suite.transports += f"transport p{g} {{ pipe {path} {as_owner(suite)} group {g} timeout 10m }}\n"
    deliver_by(suite, f'maildir "{boxes}/{{local}}/" {as_owner(suite)}').start()
    for g in groups:
        for _ in range(4):
            send(suite, to=f"bob@{g}.test")
    wait_until(lambda: started(program) == 16, what="16 programs")
    send(suite)
    wait_until(lambda: files(boxes / "bob" / "new"), what="a message in a mailbox")
    row("S20", "programs-in-all", started(program) == 16)
    (program.place / "go").touch()
    wait_until(lambda: not suite.queue(), what="the others' turn")


def test_what_runs_programs_is_made_anew(suite, program):
    """The runner is killed: its parent ends after its jobs, and the one in its place has another."""
    path = program("cat >/dev/null; echo x >> $out/ran\n")
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    send(suite)
    wait_until(lambda: (program.place / "ran").exists() and not suite.queue(), what="the first delivery")
    (parent,), first = suite.pids("local"), runner(suite)
    os.kill(first, 9)
    wait_until(lambda: "program-runner-died" in suite.log(), what="a word of it")
    wait_until(lambda: suite.pids("local") not in ([], [parent]) and runner(suite), what="another runner")
    send(suite)
    wait_until(lambda: len((program.place / "ran").read_text().split()) == 2, what="the second delivery")
    row("S20", "program-runner", runner(suite) != first and "exit 75" in suite.log())


def test_what_runs_programs_is_locked_in(suite, boxes, program):
    """It may change users, and nothing else of what root may; it holds one link."""
    path = program("cat >/dev/null; grep -E '^(NoNewPrivs|Seccomp|CapEff|CapPrm|CapBnd)' /proc/self/status > $out/status\n")
    deliver_by(suite, f"pipe {path} {as_owner(suite)}").start()
    send(suite)
    text = wait_until(lambda: (program.place / "status").exists() and (program.place / "status").read_text(), what="the program")
    have = dict(line.split(":\t") for line in text.splitlines())
    row("SANDBOX", "program", have["NoNewPrivs"] == "1" and have["Seccomp"] == "2" and int(have["CapEff"], 16) == int(have["CapPrm"], 16) == 0)
    done = suite.postern("--json", "sandbox", "verify", check=False)
    weaker = [r for r in json.loads(done.stdout) if r["process"].startswith("local.program") and r["verdict"] != "ok"]
    assert not weaker, weaker


def test_programs_and_files_of_an_alias(suite, boxes, program):
    """By the transport that the route names, as its user; the recipient stays the alias."""
    path = program('cat > $out/message; printf "%s" "$RECIPIENT" > $out/recipient\n')
    archive = boxes / "archive"
    suite.tables += (f'table aliases {{ "ticket@ours.test: \\"|{path} --new\\"" "kept@ours.test: {archive}" }}\n'
                     "table ours { ours.test }\n")
    suite.routes = "\talias aliases programs runs if recipient.domain in ours\n" + suite.routes
    suite.transports += f"transport runs {{ pipe {as_owner(suite)} }}\n"
    suite.start()
    send(suite, ["ticket@ours.test", "kept@ours.test"])
    wait_until(lambda: (program.place / "recipient").exists() and archive.exists() and len(read_mbox(archive)) == 1, what="both")
    wait_until(lambda: not suite.queue(), what="an empty queue")
    assert (program.place / "recipient").read_text() == "ticket@ours.test"
    assert archive.stat().st_uid == boxes.stat().st_uid and archive.stat().st_mode & 0o777 == 0o600
