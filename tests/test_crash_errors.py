"""Each call of the queue and of a mailbox worker on a file fails in turn, with each error: the client hears 4xx and nobody gets the
message, or 250 and everybody gets it once.  No process ends of it, nothing bounces, and what could not be synced is not taken
for synced later.

And each call of each process that is about a socket, memory, another process, or a file of somebody who writes none: that costs at
most what a kill of that process may, and a call that was only interrupted costs nothing."""

import contextlib
import itertools
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import threading
import time

import pytest

from crash import STRIKE, WAYS, WHOLE, Bench, most_copies, verdict
from harness import row, turn_clock, wait_until

SEED = int(os.environ.get("POSTERN_CRASH_SEED", random.randrange(10**6)))
FEW = int(os.environ.get("POSTERN_CRASH_FEW", 4))  # errors on each way, where not all are asked for
pytestmark = [pytest.mark.root, pytest.mark.seconds(36000 if WHOLE or FEW > 5 else 400)]
ERRORS = os.environ.get("POSTERN_ERRORS", "ENOSPC EIO EMFILE ENFILE ENOMEM EINTR EAGAIN EDQUOT EROFS EACCES ESTALE").split()
CALLS = "calls=write,pwrite64,pwritev,pread64,fsync,fdatasync,sync_file_range,close,openat,openat2,unlinkat,renameat2,ftruncate,fstatfs,mkdirat,fcntl"

# What else calls may say, by their manual pages: the error, what they are about, and which.
SOCKETS = "recvmsg,recvfrom,sendmsg,sendto,accept4,connect"
FILES = "openat,openat2,read,pread64,write,writev,pwrite64,close,unlinkat,mkdirat,newfstatat,lseek,fcntl"
ELSEWHERE = [
    ("EINTR", "all", f"{SOCKETS},read,write,writev,epoll_wait,epoll_pwait,poll,ppoll,close,openat,wait4,waitid"),
    ("EMFILE", "all", "socket,socketpair,accept4,openat,openat2,pipe2,eventfd2,epoll_create1,memfd_create,dup,dup3"),
    ("ENOMEM", "all", f"mmap,mremap,brk,mprotect,{SOCKETS},socket,socketpair,epoll_ctl,poll,clone,clone3,fork,vfork,openat,openat2,"
                      "execve,unshare,setns"),
    ("ENOSPC", "others", "epoll_ctl"),
    ("EIO", "others", f"{SOCKETS},read,write,writev,close"),  # stands for all that nobody expects of a socket
    *((error, "files", FILES) for error in ("ENOSPC", "EDQUOT", "EIO")),
]


@pytest.fixture
def bench(suite):
    if not STRIKE.exists():
        pytest.skip("tests/tools/strike is for x86_64")
    b = Bench(suite)
    yield b
    b.close()


def roles(way):
    return [role for role in ("queue", "mailbox") if role in way.roles]


class Pace:
    """What waits by the retry rule, or for a minute after a failure, need not be waited for."""

    def __init__(self):
        self.begun = self.last = time.monotonic()

    def __call__(self, bench):
        now = time.monotonic()
        slow = now - self.begun > 3
        if now - self.last > (1 if slow else 0.3):
            self.last = now
            with contextlib.suppress(OSError, AssertionError):  # what it is asked through may have ended
                turn_clock(bench.suite, 61 if slow else 2)


def broken(bench, name, role, *words):
    """One trial; the result, and why it must not be."""
    before = bench.pid("queue"), bench.pid("local")
    result = bench.trial(WAYS[name], role, CALLS, *words, pace=Pace())
    problem = verdict(WAYS[name], result, 1)
    if problem is None and not result.accepted and (result.reply[0] != "4" or max(result.copies.values()) > 0):
        problem = f"not accepted, but {result.reply}, {result.copies}"
    if problem is None and (bench.pid("queue"), bench.pid("local")) != before:
        problem = "a process ended"
    if problem is None and result.strike.lines("repeated"):
        problem = f"synced again: {result.strike.lines('repeated')}"
    return result, problem


def chosen(bench, name):
    found = []
    for role in roles(WAYS[name]):
        strike = bench.trial(WAYS[name], role, CALLS, "at=1000000", "do=EIO").strike
        total = sum(strike.end().values())
        found += [(role, n, error) for n in range(1, total + (3 if WHOLE else 1)) for error in ERRORS]
    return found if WHOLE else sorted(random.Random(SEED).sample(found, min(FEW, len(found))))


@pytest.mark.parametrize("name", WAYS)
def test_error_at_each_call(bench, name):
    struck, refused, bad, unsure = 0, 0, 0, 0
    print(f"POSTERN_CRASH_SEED={SEED}")
    for role, n, error in chosen(bench, name):
        result, problem = broken(bench, name, role, f"at={n}", f"do={error}")
        struck += result.struck is not None
        refused += not result.accepted
        unsure += len(result.strike.lines("unsure"))
        if problem:
            bad += 1
            print(f"BAD {name} {role} call {n} {error} {result.struck}: {problem}")
            bench.again()
    print(f"ERROR {name} of={','.join(ERRORS)} errors={struck} refused={refused} failed-syncs={unsure} against-the-oracle={bad}")
    assert struck > 0
    row("C03", f"errors-{name}", bad == 0)


# ---- all that is no file of a message ----


def aims(role):
    """Their own files are looked at above."""
    if role not in ("queue", "mailbox"):
        return ELSEWHERE
    return [(error, "others", calls) for error, about, calls in ELSEWHERE if about != "files"]


def broken_elsewhere(bench, name, role, aim, n):
    before, (error, about, calls) = bench.running(), aim
    result = bench.trial(WAYS[name], role, f"calls={calls}", f"about={about}", f"at={n}", f"do={error}", pace=Pace())
    ended = [before[pid] for pid in sorted(set(before) - set(bench.running()))]
    mild = error in ("EINTR", "EMFILE")
    problem = verdict(WAYS[name], result, 1 if mild else most_copies(WAYS[name], role))
    if problem is None and error == "EINTR" and not result.accepted:
        problem = f"not accepted: {result.reply}"
    if problem is None and mild and ended:
        problem = f"ended: {ended}"
    return result, problem, ended


def plan(bench, name):
    """(role, aim) with the numbers of calls: all, until there are no more; or FEW in all, of those that are made."""
    found = [(role, aim) for role in WAYS[name].roles for aim in aims(role)]
    if WHOLE:
        return [(where, itertools.count(1)) for where in found]
    dice = random.Random(SEED)
    made = ((where, count_of(bench, name, *where)) for where in dice.sample(found, len(found)))
    return [(where, [dice.randint(1, count)]) for where, count in itertools.islice((one for one in made if one[1] > 0), FEW)]


def count_of(bench, name, role, aim):
    error, about, calls = aim
    strike = bench.trial(WAYS[name], role, f"calls={calls}", f"about={about}", "at=1000000", f"do={error}").strike
    return sum(strike.end().values())


@pytest.mark.parametrize("name", WAYS if WHOLE else ["maildir", "relay", "large"])
def test_error_elsewhere(bench, name):
    bad, struck = [], 0
    print(f"POSTERN_CRASH_SEED={SEED}")
    for (role, aim), numbers in plan(bench, name):
        hit = refused = restarts = misses = 0
        for n in numbers:
            result, problem, ended = broken_elsewhere(bench, name, role, aim, n)
            hit += result.struck is not None
            refused += not result.accepted
            restarts += bool(ended)
            if problem:
                bad.append(f"BAD {name} {role} call {n} {aim[0]} {result.struck}: {problem}")
                print(bad[-1], flush=True)
            if problem or ended:  # a process that ends again and again is begun later and later
                bench.again()
            misses = 0 if result.struck else misses + 1
            if misses == 2:  # no two runs are the same
                break
        struck += hit
        print(f"ELSEWHERE {name} {role} {aim[0]} {aim[1]} errors={hit} refused={refused} ended={restarts}", flush=True)
    row("C03", f"elsewhere-{name}", struck > 0 and not bad)


def test_a_mailbox_worker_waits_for_memory(bench):
    """No memory for its words to its parent, that it is ready and that it has delivered: they are said once there is."""
    results = [bench.trial(WAYS["maildir"], "mailbox", "calls=sendmsg", "about=others", f"at={n}", "do=ENOMEM") for n in (1, 2)]
    for r in results:
        print(r.reply, r.struck, r.copies, r.files)
    row("C04", "mailbox-words", all(r.struck and r.accepted and not r.files and set(r.copies.values()) == {1} for r in results))


# ---- no more memory ----


def limit_memory(pid, soft):
    """As the process's own user, who needs no capability for it."""
    words = re.findall(r"^[UG]id:\t(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
    return subprocess.run(["setpriv", "--reuid", words[0], "--regid", words[1], "--clear-groups", "prlimit", "--pid", str(pid),
                           f"--as={soft}:"], check=False, capture_output=True, text=True)


@contextlib.contextmanager
def no_more_memory(pid, spare):
    """Every call that asks the kernel for more than that is refused; of a process, and of what it makes meanwhile."""
    before, = re.findall(r"^Max address space +(\w+)", pathlib.Path(f"/proc/{pid}/limits").read_text(), re.M)
    used = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    done = limit_memory(pid, used + spare)
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            limit_memory(pid, before)


def starve(bench, name, role, spare):
    """As an error at each call for memory from now on: the result, and why it must not be."""
    pid, before = bench.pid(role), bench.running()
    with no_more_memory(pid, spare):
        result = bench.trial(WAYS[name], role, "thread=99", "do=nothing", pace=Pace())
    return result, verdict(WAYS[name], result, most_copies(WAYS[name], role)), [before[p] for p in set(before) - set(bench.running())]


@pytest.mark.parametrize("name", WAYS if WHOLE else ["large"])
def test_no_more_memory(bench, name):
    """At each size from which a process cannot grow: it may end, which costs what a kill of it may."""
    print(f"POSTERN_CRASH_SEED={SEED}")
    aims = [(role, spare << 10) for role in WAYS[name].roles if role not in ("master", "mailbox", "program")
            for spare in ([0, 4, 16, 64, 132, 256, 512, 1024] if WHOLE else [0, 132])]
    tally, bad = {}, []
    for role, spare in aims if WHOLE else random.Random(SEED).sample(aims, min(FEW, len(aims))):
        result, problem, ended = starve(bench, name, role, spare)
        told = tally.setdefault(role, [0, 0, 0])
        told[0], told[1], told[2] = told[0] + 1, told[1] + (not result.accepted), told[2] + bool(ended)
        if problem:
            bad.append(f"BAD {name} {role} no memory beyond {spare}: {problem}")
        if problem or ended:
            bench.again()
    for role, (sizes, refused, ended) in tally.items():
        print(f"MEMORY {name} {role} sizes={sizes} refused={refused} ended={ended}")
    print("\n".join(bad))
    row("C04", f"memory-{name}", not bad)


# ---- one that stands still ----


def test_a_process_that_stands_still(bench):
    """SIGSTOP of each process in turn, with a client at the door: who waits for it hears 4xx or waits too; once it goes on, what had
    its 250 is there once, and what was refused is not."""
    roles = [r for r in WAYS["maildir"].roles if r not in ("mailbox", "keyd")]
    seconds, bad = (30, []) if WHOLE else (2, [])
    for role in roles if WHOLE else random.Random(SEED).sample(roles, 3):
        bench.clear()
        mark, pid, replies = f"still-{role}", bench.pid(role), []
        os.kill(pid, signal.SIGSTOP)
        client = threading.Thread(target=lambda mark=mark, replies=replies: replies.append(bench.send(mark, WAYS["maildir"].recipients)))
        client.start()
        client.join(seconds)
        early = bool(replies)
        os.kill(pid, signal.SIGCONT)
        client.join(90)
        accepted = replies[0].startswith("250")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not bench.files() and (not accepted or bench.copies(WAYS["maildir"], mark)["alice@example.test"]), 60)
        copies = bench.copies(WAYS["maildir"], mark)["alice@example.test"]
        print(f"STILL {role} seconds={seconds} answered-meanwhile={early} reply={replies[0][:3]} copies={copies}")
        if copies != accepted or bench.files() or replies[0][0] not in "24" or bench.pid(role) != pid:
            bad.append(f"BAD {role} stood still: {replies}, {copies} copies, {bench.files()}")
        if not bench.send("next", ["alice@example.test"]).startswith("250"):
            bad.append(f"BAD {role} goes on, and nobody is served")
    print("\n".join(bad))
    row("C09", "stands-still", not bad)


def test_short_writes(bench):
    """Each write takes half of what it is given."""
    bad = []
    for name, way in WAYS.items():
        for role in roles(way):
            result, problem = broken(bench, name, role, "at=0", "do=short")
            print(f"SHORT {name} {role} writes={len(result.strike.lines('struck'))}")
            bad += [] if problem is None and result.accepted else [f"{name} {role}: {result.reply} {problem}"]
    print("\n".join(bad))
    row("C03", "short-writes", not bad)
