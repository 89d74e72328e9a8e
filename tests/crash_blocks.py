"""Power cuts: records each block that a run writes, builds the disk as it may be after a power cut at any moment of it, and
looks at what is there.

A recording is one run of Postern with its spool or its mailboxes on a loop device over tests/tools/block_log.  A client writes a
mark at the moment it knows of something: a 250, a delivery, an answer to the operator.  A state is the disk as of one place in the
log: all up to the last flush, and of what came after it nothing, a part chosen by chance, or all."""

import collections
import contextlib
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import threading
import time

from crash import Strike
from harness import BUILD, NextHop, Suite, wait_until

BLOCK_LOG, SPOOL_LOOK = BUILD / "unit" / "block_log", BUILD / "unit" / "spool_look"
MEGABYTES = {"ext4": 160, "xfs": 320, "btrfs": 160}
MAKE = {"ext4": ["mkfs.ext4", "-q", "-N", "16384"], "xfs": ["mkfs.xfs", "-q"], "btrfs": ["mkfs.btrfs", "-q", "-M"]}
WAYS = ["nothing", "part", "all"]  # of what was not flushed
Record = collections.namedtuple("Record", "kind offset data")
State = collections.namedtuple("State", "place way")
Found = collections.namedtuple("Found", "folder id slots parent recipients subject")  # a whole file of the spool


def missing(kinds):
    """Why it cannot be done here; None: it can."""
    if os.geteuid() != 0:
        return "only root can mount"
    if not BLOCK_LOG.exists() or not SPOOL_LOOK.exists():
        return "tests/tools/block_log was not built: it needs libfuse3-dev"
    if not os.path.exists("/dev/fuse") or not os.path.exists("/dev/loop-control"):
        return "there is no FUSE, or there are no loop devices"
    absent = [m[0] for m in (MAKE[k] for k in kinds) if shutil.which(m[0]) is None]
    return f"not installed: {' '.join(absent)}" if absent else None


def run(*words):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True, text=True).stdout.strip()


def look_at_spool(folder):
    """The whole files, and how many are accepted and no whole ones."""
    found, torn = [], 0
    for line in run(SPOOL_LOOK, folder).splitlines():
        words = line.split(" ", 6)
        if len(words) == 7 and words[2] == "ok":
            found.append(Found(words[0], words[1], words[3], words[4], words[5].split(","), words[6]))
        torn += len(words) >= 3 and words[2] in ("corrupt", "newer", "error")
    return found, torn


class Device:
    """A file system in a file, mounted by way of block_log."""

    def __init__(self, kind, folder):
        self.kind, self.folder, self.loop, self.logger = kind, folder, None, None
        self.base, self.live, self.log = folder / "base", folder / "live", folder / "log"
        for name in ("fuse", "mount", "look"):
            (folder / name).mkdir(parents=True)
        with open(self.base, "wb") as f:
            f.truncate(MEGABYTES[kind] << 20)
        run(*MAKE[kind], self.base)
        self.mount = folder / "mount"

    @contextlib.contextmanager
    def plain(self, image=None):
        """To make what is there before the recording begins, or to look at what is there after it."""
        run("mount", "-t", self.kind, "-o", "loop", image or self.base, self.mount)
        try:
            yield self.mount
        finally:
            run("umount", self.mount)

    @contextlib.contextmanager
    def recorded(self):
        run("cp", "--sparse=always", self.base, self.live)
        self.logger = subprocess.Popen([BLOCK_LOG, self.live, self.log, self.folder / "fuse"])
        wait_until(lambda: (self.folder / "fuse" / "disk").exists(), 20, "block_log")
        try:
            self.loop = run("losetup", "-f", "--show", self.folder / "fuse" / "disk")
            run("mount", "-t", self.kind, self.loop, self.mount)
            yield self.mount
        finally:
            self.end()

    def end(self):
        """The kernel lets go of each some time after it has said so."""
        for words in (["umount", self.mount], ["losetup", "-d", self.loop], ["fusermount3", "-u", self.folder / "fuse"]):
            if None not in words:
                wait_until(lambda: subprocess.run([str(w) for w in words], check=False, capture_output=True).returncode == 0, 30,
                           " ".join(map(str, words)))
        self.logger.wait(20)

    def mark(self, words):
        fd = os.open(self.folder / "fuse" / "mark", os.O_WRONLY)
        os.pwrite(fd, words.encode(), 0)
        os.close(fd)

    def cut(self):
        """What is written from here on is not of the run."""
        return self.log.stat().st_size


def read_log(path, until):
    data, at, records = path.read_bytes()[:until], 0, []
    while at + 16 <= len(data):
        kind, length, offset = struct.unpack_from("=c3xIQ", data, at)
        if at + 16 + length > len(data):
            break
        records.append(Record(kind.decode(), offset, data[at + 16:at + 16 + length]))
        at += 16 + length
    return records


def states(records, count, seed):
    """Just after each mark, which is the moment that matters, and elsewhere."""
    chance = random.Random(seed)
    marks = [i + 1 for i, r in enumerate(records) if r.kind == "M"]
    places = chance.sample(marks, min(len(marks), count // (2 * len(WAYS)) + 1))
    elsewhere = [i for i in range(marks[0], len(records) + 1) if i not in places]
    places += chance.sample(elsewhere, max(0, min(len(elsewhere), -(-count // len(WAYS)) - len(places))))
    return [State(place, way) for place in sorted(places) for way in WAYS]


class Disk:
    """The disk as it was at the last flush before a place; goes on with the places."""

    def __init__(self, device, records):
        self.device, self.records, self.at = device, records, 0
        self.flushed, self.image, self.built = device.folder / "flushed", None, 0
        run("cp", "--sparse=always", device.base, self.flushed)

    def apply(self, path, records):
        fd = os.open(path, os.O_RDWR)
        for r in records:
            if r.kind == "W":
                os.pwrite(fd, r.data, r.offset)
        os.close(fd)

    def build(self, state, chance):
        flush = max((i for i in range(self.at, state.place) if self.records[i].kind == "F"), default=self.at - 1) + 1
        self.apply(self.flushed, self.records[self.at:flush])
        self.at = max(self.at, flush)
        self.built += 1
        self.image = self.device.folder / f"state-{self.built}"  # of its own: a loop device that lingers has the old one in its cache
        run("cp", "--sparse=always", self.flushed, self.image)
        after = self.records[self.at:state.place]
        if state.way != "nothing":
            self.apply(self.image, after if state.way == "all" else [r for r in after if chance.random() < 0.5])
        return self.image

    @contextlib.contextmanager
    def mounted(self, state, chance):
        """As after the power came back."""
        image, mount = self.build(state, chance), self.device.folder / "look"
        run("mount", "-t", self.device.kind, "-o", "loop", image, mount)
        try:
            yield mount
        finally:
            run("umount", mount)
            image.unlink()


def marked(records, place):
    """What was known then: {word: set of names}."""
    known = collections.defaultdict(set)
    for r in records[:place]:
        if r.kind == "M":
            word, name = r.data.decode().split()
            known[word].add(name)
    return known


# ---- the runs ----


class Recording:
    """One run; `syncs` False: fsync and fdatasync are said to be done, and are not."""

    name = None

    def __init__(self, kind, folder, messages, syncs=True):
        self.device, self.messages, self.syncs = Device(kind, folder / "device"), messages, syncs
        self.suite = Suite(folder / "postern")
        self.suite.settings += "trusted 127.0.0.0/8\nretry { every 1h until 5d }\n"

    def record(self):
        self.prepare()
        with self.device.recorded() as mount:
            self.place(mount)
            self.suite.launch()
            strike = None if self.syncs else self.without_syncs()
            try:
                self.work()
            finally:
                until = self.device.cut()
                if strike:
                    strike.end()
                self.suite.kill_all()
                self.clear_away(mount)
        return read_log(self.device.log, until)

    def send(self, mark, recipient, size):
        c = self.suite.smtp(seconds=60)
        c.ehlo()
        got = c.message("bob@example.test", recipient, f"Subject: {mark}\n\n" + ("z" * 76 + "\n") * (size // 77) + "x\n")
        c.close()
        return got.split()[-1]


def size_of(n):
    return 90000 if n % 5 == 4 else 300 * n


class SpoolRecording(Recording):
    """The spool is on the device.  Messages wait for a next hop that never takes them; some are held, some removed."""

    name = "spool"

    def open_hops(self):
        self.hop = NextHop(script={"MAIL": "451 4.3.0 later"})
        self.suite.internet = f'smtp "127.0.0.1:{self.hop.port}"  allow-local yes  tls off'

    def prepare(self):
        self.open_hops()
        with self.device.plain() as mount:
            shutil.chown(mount, "postern-queue", "postern-queue")
            self.place(mount)
            self.suite.start(["bob@example.test"])
            self.suite.stop()
            self.clear_away(mount)

    def place(self, mount):
        run("mount", "--bind", mount, self.suite.folder / "spool")

    def clear_away(self, mount):
        run("umount", "-l", self.suite.folder / "spool")

    def without_syncs(self):
        return Strike(self.suite.pids("queue")[0], "calls=fsync,fdatasync", "at=0", "do=pretend").go()

    def work(self):
        for n in range(self.messages):
            ident = self.send(f"m{n}", "you@elsewhere.test", size_of(n))
            self.device.mark(f"accepted m{n}")
            if n % 4 in (1, 2):
                wait_until(lambda: any(m["id"] == ident and m["state"] == "waiting" for m in self.suite.queue()), 20, "a deferral")
                verb = "hold" if n % 4 == 1 else "remove"
                self.suite.postern("queue", verb, ident)
                self.device.mark(f"{verb} m{n}")
        self.hop.close()

    def look(self, mount, known):
        """Why this state must not be; nothing: all is well."""
        files, torn = look_at_spool(mount)
        found, bad = {f.subject: (f.folder, f.slots) for f in files}, []
        for m in known["accepted"] - known["remove"]:
            if m not in found and not self.is_being_removed(m, known):
                bad.append(f"{m} is lost")
        bad += [f"{m} is not held" for m in known["hold"] if m in found and found[m][0] != "hold"]
        bad += [f"{m} is back" for m in known["remove"] if m in found and found[m][1] != "X"]
        return bad, torn

    def is_being_removed(self, mark, known):
        """The operator has asked for it, and has not been answered yet."""
        return int(mark[1:]) % 4 == 2 and mark not in known["remove"]


class MaildirRecording(Recording):
    """The mailboxes are on the device, the spool is not: once its file is gone, the mailbox has the only copy."""

    name = "maildir"

    def prepare(self):
        self.suite.start(["bob@example.test", *(f"u{i}@example.test" for i in range(3))])
        self.suite.stop()
        with self.device.plain() as mount:
            mount.chmod(0o750)
            shutil.chown(mount, "postern-mail", "postern-mail")

    def place(self, mount):
        run("mount", "--bind", mount, self.suite.folder / "mail")

    def clear_away(self, mount):
        run("umount", "-l", self.suite.folder / "mail")

    def without_syncs(self):
        return Strike(self.suite.pids("local")[0], "birth=", "calls=fsync,fdatasync", "at=0", "do=pretend")

    def work(self):
        """The first message of a user makes the folders."""
        for n in range(self.messages):
            ident = self.send(f"m{n}", f"u{n % 3}@example.test", size_of(n))
            wait_until(lambda: re.search(rf" message-ended id={ident}", self.suite.log()), 20, "a delivery")
            self.device.mark(f"delivered m{n}")

    def look(self, mount, known):
        found, torn = set(), 0
        for path in mount.glob("example.test/*/new/*"):
            text = path.read_bytes()
            mark = re.search(rb"^Subject: (\S+)$", text, re.M)
            if mark is None or not text.endswith(b"\nx\n"):
                torn += 1
            else:
                found.add(mark.group(1).decode())
        return [f"{m} is lost" for m in known["delivered"] - found], torn


class TellingHop(NextHop):
    """Marks on the device what it has taken, before it says so."""

    device = None

    def keep(self, sender, recipients, data):
        super().keep(sender, recipients, data)
        mark = re.search(rb"^Subject: (\S+)\r?$", data, re.M).group(1).decode()
        for r in recipients:
            self.device.mark(f"taken {mark}:{r}")


class DeliveryRecording(SpoolRecording):
    """The spool is on the device, and what becomes of a message is seen from there.  Whoever is at `now.test` is taken at once (but
    not before the client has its 250), at `later.test` after a first refusal, at `never.test` refused for good; the sender's host
    takes no report, so that each waits in the spool."""

    recipients = None
    everybody = ["a@now.test", "b@later.test", "c@never.test"]

    def open_hops(self):
        self.known, self.may_come = threading.Event(), threading.Event()
        self.hops = {"now.test": TellingHop(script={"MAIL": self.once_known}),
                     "later.test": TellingHop(script={"MAIL": lambda line: None if self.may_come.is_set() else "451 4.3.0 later"}),
                     "never.test": NextHop(script={"MAIL": self.once_known, "RCPT": "550 5.1.1 nobody here"}),
                     "sender.test": NextHop(script={"MAIL": "451 4.3.0 later"})}
        self.ids = {}
        for domain, hop in self.hops.items():
            hop.device, name = self.device, domain.split(".")[0]
            self.suite.routes = f'\trelay {name} if recipient.domain == "{domain}"\n' + self.suite.routes
            self.suite.transports += f'transport {name} {{ smtp "127.0.0.1:{hop.port}"  allow-local yes  tls off }}\n'

    def once_known(self, line):
        self.known.wait(30)

    def work(self):
        for n in range(self.messages):
            self.known.clear()
            self.may_come.clear()
            ident = self.ids[f"m{n}"] = self.send_to(f"m{n}", self.recipients, size_of(n))
            self.device.mark(f"accepted m{n}")
            self.known.set()
            if self.recipients == self.everybody:
                self.wait_log(rf" deferred id={ident}")
                wait_until(lambda: any(m["id"] == ident and m["state"] == "waiting" for m in self.suite.queue()), 30, "a deferral")
                self.device.mark(f"waiting m{n}")
                self.may_come.set()
                self.suite.postern("queue", "retry", ident)
            self.wait_log(rf" message-ended id={ident}")
            self.device.mark(f"ended m{n}")
        for hop in self.hops.values():
            hop.close()

    def wait_log(self, pattern):
        wait_until(lambda: re.search(pattern, self.suite.log()), 60, pattern)

    def send_to(self, mark, recipients, size):
        c = self.suite.smtp(seconds=60)
        c.ehlo()
        c.envelope("sender@sender.test", *recipients)
        got = c.data(f"Subject: {mark}\n\n" + ("z" * 76 + "\n") * (size // 77) + "x\n")
        c.close()
        return got.split()[-1]

    def look(self, mount, known):
        """Of each message that was accepted: a recipient waits in it, or has it, or the sender's report is there."""
        files, torn = look_at_spool(mount)
        reported, bad = {f.parent for f in files}, []
        there = {f.subject: dict(zip(f.recipients, f.slots)) for f in files if f.parent == "-"}
        for m in known["accepted"]:
            for r in self.recipients:
                slot, taken = there.get(m, {}).get(r), f"{m}:{r}" in known["taken"]
                done = self.ids[m] in reported if r == "c@never.test" else taken
                if slot not in ("W", "L") and not done:
                    bad.append(f"{m} to {r} is lost: {slot}")
                if m in known["waiting"] and m in there and slot in ("W", "L") and r != "b@later.test":
                    bad.append(f"{m} to {r} would come again")
        return bad, torn


class RelayRecording(DeliveryRecording):
    """The end of the file is the record: it must not be removed before the next hop has said 250."""

    name, recipients = "relay", ["a@now.test"]


class ReportRecording(DeliveryRecording):
    """The report must be in the spool before its message ends."""

    name, recipients = "report", ["c@never.test"]


class SlotsRecording(DeliveryRecording):
    """Each recipient ends in its own way; before the last does, the others are closed in their slots."""

    name, recipients = "slots", DeliveryRecording.everybody


RECORDINGS = {r.name: r for r in (SpoolRecording, MaildirRecording, RelayRecording, ReportRecording, SlotsRecording)}
Outcome = collections.namedtuple("Outcome", "states bad torn words")


def replay(recording, records, count, seed, until_bad=False):
    """Builds the states, and looks at each.  `until_bad`: one that is bad is enough."""
    disk, chance = Disk(recording.device, records), random.Random(seed)
    seen = bad = torn = 0
    words = []
    for state in states(records, count, seed):
        with disk.mounted(state, chance) as mount:
            why, half = recording.look(mount, marked(records, state.place))
        seen, bad, torn = seen + 1, bad + bool(why), torn + half
        words += [f"at {state.place} of {len(records)}, {state.way}: {', '.join(why[:3])}"] if why else []
        if bad and until_bad:
            break
    return Outcome(seen, bad, torn, words)


def scratch(folder):
    """In memory where there is room: it is copied for each state."""
    memory = pathlib.Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30:
        folder = memory / f"postern-blocks-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    return folder
