import faulthandler
import os
import pathlib
import signal
import sys

import pytest

from harness import ROOT, NextHop, Suite

# No test may hang: set-up, test and tear-down have this each, or what the mark `seconds` says.
TEST_SECONDS = int(os.environ.get("POSTERN_TEST_SECONDS", "150"))

# These measure time or load the whole machine, and so run with nothing beside them: scripts/test does so in a second pass.
ALONE = {"test_kill", "test_limits", "test_full_disk", "test_deep_queue", "test_quickstart", "test_install", "test_unit"}


@pytest.fixture(scope="session", autouse=True)
def open_folders(tmp_path_factory):
    """Other users pass through pytest's own folders, also the one more of a parallel run, to what a test opens for them."""
    if ROOT:
        base = tmp_path_factory.getbasetemp()
        for folder in [base, *base.parents]:
            mode = folder.stat().st_mode
            if mode & 0o055 == 0o055:
                break
            folder.chmod(mode & 0o7777 | 0o055)


@pytest.fixture
def suite(tmp_path):
    """A suite that is not started yet, and is stopped at the end in every case."""
    s = Suite(tmp_path / "postern")
    yield s
    s.stop()


@pytest.fixture
def running(suite):
    """A suite that is ready for mail for alice and bob at example.test."""
    return suite.start()


@pytest.fixture
def next_hop():
    made = []

    def make(**options):
        made.append(NextHop(**options))
        return made[-1]
    yield make
    for hop in made:
        hop.close()


def pytest_collection_modifyitems(items):
    for item in items:
        if "root" in item.keywords and not ROOT:
            item.add_marker(pytest.mark.skip(reason="only root can do this"))
        if item.module.__name__ in ALONE:
            item.add_marker(pytest.mark.alone)


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs root (other users, mounts, namespaces)")
    config.addinivalue_line("markers", "alone: measures time or loads the machine, and must have nothing beside it")
    config.addinivalue_line("markers", "seconds(n): may take that long")


def within_its_time(item):
    mark = item.get_closest_marker("seconds")
    seconds = mark.args[0] if mark else TEST_SECONDS

    def too_late(number, frame):
        faulthandler.dump_traceback(sys.__stderr__)
        raise TimeoutError(f"{item.nodeid}: not done within {seconds} s")
    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


for phase in ("setup", "call", "teardown"):
    globals()[f"pytest_runtest_{phase}"] = pytest.hookimpl(hookwrapper=True)(
        lambda item: (yield from within_its_time(item)))


def pytest_terminal_summary(terminalreporter):
    """The lines of attacks and promises, also of tests that passed and of those that ran in another process."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    rows = sorted({line for r in reports for line in r.capstdout.splitlines() if line.startswith("ROW ")})
    if rows:
        terminalreporter.write("\n" + "\n".join(rows) + "\n")
