"""Power cuts at the block layer: of what was promised nothing is lost on ext4, xfs and btrfs, in any state the disk may be in; and
the same run without its syncs does lose, so this test can fail."""

import os
import random
import shutil

import pytest

from crash import WHOLE
from crash_blocks import RECORDINGS, missing, replay, scratch
from harness import row

pytestmark = [pytest.mark.root, pytest.mark.seconds(36000 if WHOLE else 150)]
SEED = int(os.environ.get("POSTERN_CRASH_SEED", random.randrange(10**6)))
STATES = int(os.environ.get("POSTERN_STATES", 500 if WHOLE else 20))
MESSAGES = 48 if WHOLE else 12
KINDS = ["ext4", "xfs", "btrfs"] if WHOLE else ["ext4"]


@pytest.fixture
def folder(tmp_path):
    why = missing(KINDS)
    if why:
        pytest.skip(why)
    made = scratch(tmp_path / "blocks")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECORDINGS)
def test_power_cuts(folder, name, kind):
    print(f"POSTERN_CRASH_SEED={SEED}")
    recording = RECORDINGS[name](kind, folder, MESSAGES)
    records = recording.record()
    got = replay(recording, records, STATES, SEED)
    print(f"BLOCKS {kind} {name} messages={MESSAGES} writes={sum(r.kind == 'W' for r in records)} "
          f"flushes={sum(r.kind == 'F' for r in records)} states={got.states} against-the-oracle={got.bad} half-files={got.torn}")
    print("\n".join(got.words))
    assert got.states > 0 and (name == "spool" or got.torn == 0)
    row("C01", f"{name}-{kind}", got.bad == 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECORDINGS)
def test_the_same_without_syncs_loses(folder, name, kind):
    recording = RECORDINGS[name](kind, folder, MESSAGES, syncs=False)
    records = recording.record()
    got = replay(recording, records, min(STATES, 60), SEED, until_bad=not WHOLE)
    print(f"BLOCKS {kind} {name} without-syncs states={got.states} against-the-oracle={got.bad} half-files={got.torn}")
    row("C01", f"{name}-{kind}-control-bites", got.bad > 0)
