"""Each call of the queue and of a mailbox worker on a file fails in turn, with each error: the client hears 4xx and nobody gets the
message, or 250 and everybody gets it once.  No process ends of it, nothing bounces, and what could not be synced is not taken
for synced later."""

import os
import random
import time

import pytest

from crash import STRIKE, WAYS, WHOLE, Bench, verdict
from harness import row, turn_clock

SEED = int(os.environ.get("POSTERN_CRASH_SEED", random.randrange(10**6)))
FEW = int(os.environ.get("POSTERN_CRASH_FEW", 5))  # errors on each way, where not all are asked for
pytestmark = [pytest.mark.root, pytest.mark.seconds(36000 if WHOLE or FEW > 5 else 400)]
ERRORS = ["ENOSPC", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EINTR", "EAGAIN", "EDQUOT", "EROFS", "EACCES", "ESTALE"]
CALLS = "calls=write,pwrite64,pwritev,pread64,fsync,fdatasync,close,openat,openat2,unlinkat,renameat2,ftruncate,fstatfs,mkdirat,fcntl"


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
        found += [(role, n, error) for n in range(1, total + 3) for error in ERRORS]
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
    print(f"ERROR {name} errors={struck} refused={refused} failed-syncs={unsure} against-the-oracle={bad}")
    assert struck > 0
    row("C03", f"errors-{name}", bad == 0)


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
