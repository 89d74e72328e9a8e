import pytest

from harness import ROOT, NextHop, Suite


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


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs root (other users, mounts, namespaces)")
