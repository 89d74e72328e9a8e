"""kill -9 of each process at each system call on a message's way: after a 250 nothing is missing, and doubled is only what
docs/crash.md allows."""

import itertools
import os
import random

import pytest

from crash import STRIKE, THREADS, WAYS, WHOLE, Bench, most_copies, verdict
from harness import row

SEED = int(os.environ.get("POSTERN_CRASH_SEED", random.randrange(10**6)))
FEW = int(os.environ.get("POSTERN_CRASH_FEW", 4))  # kills on each way, where not all are asked for
pytestmark = [pytest.mark.root, pytest.mark.seconds(36000 if WHOLE or FEW > 5 else 400)]


@pytest.fixture
def bench(suite):
    if not STRIKE.exists():
        pytest.skip("tests/tools/strike is for x86_64")
    b = Bench(suite)
    yield b
    b.close()


def aims(way):
    for role in way.roles:
        for thread in THREADS.get(role, [0]):
            yield role, thread


def length(bench, way, role, thread):
    """How many calls it makes, in a suite that has just begun."""
    bench.again()
    return bench.trial(way, role, f"thread={thread}", "do=nothing").strike.end().get(thread, 0)


def plan(bench, way):
    """(role, thread) with numbers of calls: all, until there are no more of them; or of FEW that make any, some."""
    if WHOLE:
        return [(aim, itertools.count(1)) for aim in aims(way)]
    dice = random.Random(SEED)
    found = dice.sample(list(aims(way)), len(list(aims(way))))
    made = ((aim, length(bench, way, *aim)) for aim in found)
    share = -(-FEW // len(found))
    return [(aim, sorted(dice.sample(range(1, count + 1), min(share, count))))
            for aim, count in itertools.islice((one for one in made if one[1] > 0), FEW)]


def trial(bench, way, role, thread, n):
    """A kill at the n-th call.  No two runs are the same: where all are asked for, one that makes fewer has ended; else it is killed
    at the last of those that the run before has made."""
    for at in [n] if WHOLE else [n, None, None, None]:
        bench.again()
        result = bench.trial(way, role, f"thread={thread}", f"at={at or made}", "do=kill")
        made = result.strike.end().get(thread, 0)
        if result.struck or made == 0:
            break
    return result


class Tally:
    def __init__(self, name):
        self.name, self.struck, self.refused, self.doubled, self.bad = name, 0, 0, 0, 0

    def add(self, result, problem):
        self.struck += result.struck is not None
        self.refused += not result.accepted
        self.doubled += max(result.copies.values()) > 1
        self.bad += problem is not None

    def __str__(self):
        return f"{self.name} kills={self.struck} refused={self.refused} doubled={self.doubled} against-the-oracle={self.bad}"


@pytest.mark.parametrize("name", WAYS)
def test_kill_at_each_call(bench, name):
    way, tallies = WAYS[name], {}
    print(f"POSTERN_CRASH_SEED={SEED}")
    for (role, thread), numbers in plan(bench, way):
        tally, misses = tallies.setdefault((role, thread), Tally(f"KILL {name} {role}[{thread}]")), 0
        for n in numbers:
            result = trial(bench, way, role, thread, n)
            problem = verdict(way, result, most_copies(way, role))
            tally.add(result, problem)
            if problem:
                print(f"BAD {name} {role}[{thread}] call {n} {result.struck}: {problem}")
            misses = 0 if result.struck else misses + 1
            if misses == 3:  # no two runs are the same
                break
    for tally in tallies.values():
        print(tally)
    assert sum(t.struck for t in tallies.values()) > 0
    row("C02", f"kill-{name}", all(t.bad == 0 for t in tallies.values()))
