"""Breaks one system call on the way of one message, and counts what came of it.  What may come of it stands in docs/crash.md."""

import atexit
import collections
import contextlib
import functools
import os
import pathlib
import pwd
import re
import signal
import subprocess
import threading
import time

from harness import BUILD, ROLES, TOP, NextHop, parent, proc, program, system_user, wait_until

STRIKE = BUILD / "unit" / "strike"
BIG = "y" * 76 + "\n"
WHOLE = os.environ.get("POSTERN_CRASH") == "all"  # every call; else some, chosen by a seed that is printed
PERSON = f"posternc{os.getpid()}"  # a user of this system, while this process runs its tests


@functools.cache
def oracle():
    """Copies at most, by the process that was killed."""
    table = (TOP / "docs" / "crash.md").read_text().split("## Who may be killed")[1].split("##")[0]
    found = {role: int(most) for role, most in re.findall(r"^\| (\w+) \| (\d+) \|", table, re.M)}
    assert set(found) == {*ROLES, "mailbox", "programs", "program", "master"}, "docs/crash.md must speak of each process"
    return found


# ---- one call ----


class Strike:
    """tests/tools/strike at one process.  Nothing is counted before go()."""

    def __init__(self, pid, *words):
        self.told, self.process = [], subprocess.Popen([STRIKE, str(pid), *words], stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_until(lambda: self.told or self.process.poll() is not None, what="strike")
        assert self.told, f"strike {pid} {' '.join(words)} could not begin"

    def read(self):
        for line in self.process.stdout:
            self.told.append(line.split())

    def go(self):
        """Counted is what happens after it: a message that is sent too soon would pass unseen."""
        self.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.lines("counting") or self.process.poll() is not None, 60, "strike's attention")
        return self

    def lines(self, what):
        return [words[1:] for words in self.told if words[0] == what]

    @property
    def struck(self):
        """Which call it was, with its file; None: none yet."""
        return next((" ".join(words[2:]) for words in self.lines("struck")), None)

    def end(self):
        """Lets the process go; the calls counted of each thread."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.reader.join(20)
        return {int(place): int(count) for place, count in self.lines("counted")}


@contextlib.contextmanager
def struck(pid, *words):
    s = Strike(pid, *words).go()
    try:
        yield s
    finally:
        s.end()


# ---- the ways of a message ----

# To whom, bytes, the processes that have a part in it, and where it must be: a recipient, or "report"; how many expansions at delivery it goes through.
Way = collections.namedtuple("Way", "recipients size roles places expansions", defaults=[0])
ACCEPT = ["master", "gate", "smtpd", "queue", "policyd", "log"]
LOCAL, REMOTE = ["local", "mailbox"], ["relay", "dial", "resolver"]
WAYS = {
    "maildir": Way(["alice@example.test"], 0, [*ACCEPT, *LOCAL, "authd", "keyd"], ["alice@example.test"]),
    "home": Way([f"{PERSON}@localhost"], 0, ["queue", "authd", *LOCAL], [f"{PERSON}@localhost"]),
    "relay": Way(["you@elsewhere.test"], 0, [*ACCEPT, *REMOTE], ["you@elsewhere.test"]),
    "lmtp": Way([f"{n}@lmtp.test" for n in "abc"], 0, ["queue", *REMOTE], [f"{n}@lmtp.test" for n in "abc"]),
    "large": Way(["alice@example.test"], 150000, ["master", "smtpd", "queue", *LOCAL], ["alice@example.test"]),
    "report": Way(["you@refusing.test"], 0, ["queue", "relay", *LOCAL], ["report"]),
    "alias": Way(["team@example.test"], 0, ["queue", "policyd", *LOCAL], ["alice@example.test", "carol@example.test"]),
    "forward": Way(["dave@forward.test"], 0, ["queue", "policyd", *LOCAL], ["dave@forward.test", "carol@example.test"], 1),
    "mbox": Way(["dave@mbox.test"], 150000, ["queue", *LOCAL], ["dave@mbox.test"]),
    "pipe": Way(["dave@pipe.test"], 0, ["queue", "local", "programs", "program"], ["dave@pipe.test"]),
    "later": Way(["you@later.test"], 0, ["queue", "relay"], ["you@later.test"]),
}
# The loop, a writer, the index: each has calls of its own.
THREADS = {"queue": [0, 1, 2]}


@functools.cache
def make_person():
    made = contextlib.ExitStack()
    atexit.register(made.close)
    return made.enter_context(system_user(PERSON, "--create-home", "--home-dir", f"/home/{PERSON}", "--user-group"))


class Bench:
    """A suite with a place for each way, made for being broken."""

    def __init__(self, suite):
        self.suite, self.number = suite, 0
        self.hops = {"elsewhere.test": NextHop(), "lmtp.test": NextHop(lmtp=True),
                     "refusing.test": NextHop(script={"RCPT": "550 5.1.1 nobody here"}), "later.test": NextHop()}
        self.later = set()  # sessions that were told so
        self.home = pathlib.Path(make_person().pw_dir)
        suite.settings += "trusted 127.0.0.0/8\nspool_writers 1\nsmtpd_workers 1\nrelay_workers 1\nretry { every 1s until 50d }\n"
        suite.tables += 'table team { team@example.test: alice@example.test, carol@example.test }\ntable homes { localhost }\n'
        suite.routes = "\talias team\n\tdeliver home if recipient.domain in homes\n" + suite.routes
        suite.last_route = "".join(f'\t{"deliver" if hop.lmtp else "relay"} {name.split(".")[0]} if recipient.domain == "{name}"\n'
                                   for name, hop in self.hops.items())
        suite.transports += 'transport home { maildir "~/Maildir/" }\n' + "".join(
            f'transport {name.split(".")[0]} {{ {"lmtp" if hop.lmtp else "smtp"} "127.0.0.1:{hop.port}"  allow-local yes  tls off }}\n'
            for name, hop in self.hops.items())
        self.make_forward()
        self.make_mbox_and_pipe()
        suite.start(["alice@example.test", "bob@example.test", "carol@example.test"])
        for address in ("alice@example.test", "bob@example.test", "carol@example.test"):
            self.send("warm", [address])
        wait_until(lambda: not self.files(), 30, "an empty spool")
        self.quiet()

    def quiet(self):
        """The calls of a scan of the spool are not those of a message."""
        wait_until(lambda: "scan done" in self.suite.postern("status", check=False).stdout, 60, "the end of the scan")

    def make_forward(self):
        """Somebody who keeps a copy, and sends one on."""
        mail = self.suite.folder / "mail"
        owner = pwd.getpwuid(mail.stat().st_uid)
        self.forwards = mail / "forwards" / "dave"
        self.forwards.mkdir(parents=True)
        (self.forwards / ".forward").write_text("\\dave, carol@example.test\n")
        for path in (self.forwards.parent, self.forwards, self.forwards / ".forward"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        self.suite.routes = '\tdeliver forwards if recipient.domain == "forward.test"\n' + self.suite.routes
        self.suite.transports += (f'transport forwards {{ maildir "{mail}/forwards/{{local}}/Maildir/"  user {owner.pw_name}  '
                                  'forward "~/.forward" }\n')

    def make_mbox_and_pipe(self):
        """A program that keeps each message it got whole, in the home of who can walk there."""
        owner = pwd.getpwuid((self.suite.folder / "mail").stat().st_uid)
        self.boxes, self.piped, keep = self.suite.folder / "mail" / "boxes", self.home / "piped", self.home / "keep"
        keep.write_text(f"#!/bin/sh\ncat > {self.piped}/part.$$ && mv {self.piped}/part.$$ {self.piped}/whole.$$\n")
        keep.chmod(0o755)
        for folder, user in ((self.boxes, owner), (self.piped, make_person())):
            folder.mkdir(exist_ok=True)
            os.chown(folder, user.pw_uid, user.pw_gid)
        for name in ("mbox", "pipe"):
            self.suite.routes = f'\tdeliver {name}s if recipient.domain == "{name}.test"\n' + self.suite.routes
        self.suite.transports += (f'transport mboxs {{ mbox "{self.boxes}/{{local}}"  user {owner.pw_name} }}\n'
                                  f"transport pipes {{ pipe {keep}  user {PERSON} }}\n")

    def close(self):
        for hop in self.hops.values():
            hop.close()

    def send(self, mark, recipients, size=0, sender="bob@example.test"):
        """The last reply, or "lost" where the connection ended before it."""
        with contextlib.suppress(OSError):
            c = self.suite.smtp(seconds=60)
            try:
                for line in ["EHLO client.example", f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients)]:
                    got = c.command(line)
                    if got[0] != "2":
                        return got
                c.send("DATA\r\n")
                got = c.reply()
                if got[0] != "3":
                    return got
                c.send(f"Subject: {mark}\r\n\r\n" + (BIG * (size // len(BIG))).replace("\n", "\r\n") + "x\r\n.\r\n")
                return c.reply()
            finally:
                c.close()
        return "lost"

    # ---- where it is ----

    def texts(self, place):
        name, _, domain = place.partition("@")
        if domain in self.hops:
            return [data for _, to, data in self.hops[domain].messages if place in to]
        folder = self.suite.maildir("bob@example.test" if place == "report" else place)
        if domain == "localhost":
            folder = self.home / "Maildir" / "new"
        if domain == "forward.test":
            folder = self.forwards / "Maildir" / "new"
        if domain == "mbox.test":
            return self.texts_of_mbox(self.boxes / name)
        if domain == "pipe.test":
            folder = self.piped
        with contextlib.suppress(FileNotFoundError):
            return [p.read_bytes() for p in folder.iterdir() if not p.name.startswith("part.")]
        return []

    def texts_of_mbox(self, path):
        """A part of a message that was not cut off is too often, by any count."""
        with contextlib.suppress(FileNotFoundError):
            texts = re.split(rb"^From ", path.read_bytes(), flags=re.M)[1:]
            return texts + [text for text in texts if not text.endswith(b"\nx\n\n")] * 9
        return []

    def age_lock(self):
        """Nobody knows whose a lock is in which nothing stands: it is waited for, for 15 minutes."""
        with contextlib.suppress(FileNotFoundError):
            for lock in self.boxes.glob("*.lock"):
                if lock.stat().st_size == 0 and time.time() - lock.stat().st_mtime > 2:
                    os.utime(lock, (1, 1))

    def copies(self, way, mark):
        """A report need not show what it is about: where that could not be read, it is made without."""
        subject = re.compile(rf"^Subject: {mark}\r?$".encode(), re.M)
        report = re.compile(rb"^Final-Recipient: rfc822;", re.M)
        return {place: sum(bool((report if place == "report" else subject).search(text)) for text in self.texts(place))
                for place in way.places}

    def files(self):
        """All that lies in the spool."""
        spool, found = self.suite.folder / "spool", []
        for folder in ("new", "cur", "hold"):
            for path in glob_ids(spool / folder):
                found.append(path)
        return found + [p for p in (spool / "draft").iterdir()]

    def clear(self):
        for address in ("alice", "bob", "carol"):
            empty(self.suite.maildir(f"{address}@example.test"))
        empty(self.home / "Maildir" / "new")
        for folder in (self.forwards / "Maildir" / "new", self.boxes, self.piped):
            empty(folder)
        for hop in self.hops.values():
            hop.messages.clear()
            hop.sessions.clear()
        self.later.clear()
        self.hops["later.test"].script["MAIL"] = once(self.later)

    # ---- processes ----

    def running(self):
        """The processes that the master has started, by number, with their programs: one look at /proc."""
        found = {pid: program(pid) for pid in self.suite.children()}
        return {pid: name for pid, name in found.items() if name != found.get(parent(pid)) and name is not None}

    def pid(self, role):
        if role == "master":
            return self.suite.process.pid
        if role == "programs":
            return wait_until(lambda: self.children_of_local({"programs"}), 30, f"a {role}")[0]
        return wait_until(lambda: self.suite.pids(role), 30, f"a {role}")[0]

    def children_of_local(self, names):
        """By what they call themselves; a mailbox worker as its parent."""
        return [p for p in self.suite.children(self.pid("local")) if proc(p, "comm").strip() in names]

    def aim(self, role, *words):
        """At a process; at a worker from its birth, for there is none before there is mail."""
        if role not in ("mailbox", "program"):
            return Strike(self.pid(role), *words)
        workers = {"program"} if role == "program" else {proc(self.pid("local"), "comm").strip()}
        for worker in self.children_of_local(workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not self.children_of_local(workers), what="the end of the workers")
        return Strike(self.pid("programs" if role == "program" else "local"), "birth=", *words)

    def again(self):
        """From the start, as after a crash of all."""
        if self.suite.process.poll() is None:
            self.suite.kill_all()
        self.suite.launch()
        self.quiet()

    # ---- one message with one call broken ----

    def trial(self, way, role, *words, pace=None):
        """What became of it: the reply, the call that was struck, copies by place, the lines of strike."""
        self.clear()
        self.number += 1
        mark = f"m{self.number}"
        strike = self.aim(role, *words).go()
        reply = self.send(mark, way.recipients, way.size)
        accepted = reply.startswith("250")
        done = lambda: self.is_settled(way, mark, accepted, strike)
        try:
            self.wait(done, strike, pace)
        finally:
            strike.end()
        return Result(reply, accepted, strike.struck, self.copies(way, mark), self.files(), strike)

    def is_settled(self, way, mark, accepted, strike):
        self.age_lock()
        if self.suite.process.poll() is not None:
            strike.end()
            self.suite.launch()
        return (not accepted or min(self.copies(way, mark).values()) > 0) and not self.files()

    def wait(self, done, strike, pace):
        """Until all is done; a longer wait of the suite's own is shortened by `pace`."""
        until = time.monotonic() + 90
        while not done() and time.monotonic() < until:
            time.sleep(0.03)
            if pace is not None:
                pace(self)


Result = collections.namedtuple("Result", "reply accepted struck copies files strike")


def once(told):
    """Each message is told "later" once: by its first session."""
    def answer(line):
        first = not told
        told.add(True)
        return "451 4.3.0 later" if first else None
    return answer


def glob_ids(folder):
    with contextlib.suppress(FileNotFoundError):
        for upper in os.scandir(folder):
            for lower in os.scandir(upper):
                yield from (pathlib.Path(e.path) for e in os.scandir(lower))


def empty(folder):
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            path.unlink()


# ---- what may be ----


def most_copies(way, role):
    """After one kill of it: what an expansion made is a message with windows of its own."""
    most = oracle()[role]
    return most if most == 1 else most + way.expansions


def verdict(way, result, most):
    """Why this must not be, or None."""
    if result.reply[0] == "5":
        return f"the client heard {result.reply}"
    if result.files:
        return f"left in the spool: {result.files}"
    if result.accepted and min(result.copies.values()) < 1:
        return f"lost: {result.copies}"
    if max(result.copies.values()) > most:
        return f"too often: {result.copies}"
    return None
