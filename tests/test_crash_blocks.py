"""Power cuts at the block layer: of what was promised nothing is lost on ext4, xfs and btrfs, in any state the disk may be in; and
the same run without its syncs does lose, so this test can fail."""

import os
import random
import shutil

import pytest

from crash import WHOLE
from crash_blocks import RECORDINGS, SpoolRecording, look_at_spool, missing, replay, scratch
from harness import row

pytestmark = [pytest.mark.root, pytest.mark.seconds(36000 if WHOLE else 400)]
SEED = int(os.environ.get("POSTERN_CRASH_SEED", random.randrange(10**6)))
STATES = int(os.environ.get("POSTERN_STATES", 500 if WHOLE else 20))
MESSAGES = 48 if WHOLE else 12
NAMES = RECORDINGS if WHOLE else ["spool", "maildir", "slots"]
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
@pytest.mark.parametrize("name", NAMES)
def test_power_cuts(folder, name, kind):
    print(f"POSTERN_CRASH_SEED={SEED}")
    recording = RECORDINGS[name](kind, folder, MESSAGES)
    records = recording.record()
    got = replay(recording, records, STATES, SEED)
    print(f"BLOCKS {kind} {name} messages={MESSAGES} writes={sum(r.kind == 'W' for r in records)} "
          f"flushes={sum(r.kind == 'F' for r in records)} states={got.states} against-the-oracle={got.bad} half-files={got.torn}")
    print("\n".join(got.words))
    assert got.states > 0 and (name != "maildir" or got.torn == 0)
    row("C01", f"{name}-{kind}", got.bad == 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_without_syncs_loses(folder, name, kind):
    recording = RECORDINGS[name](kind, folder, MESSAGES, syncs=False)
    records = recording.record()
    got = replay(recording, records, min(STATES, 60), SEED, until_bad=not WHOLE)
    print(f"BLOCKS {kind} {name} without-syncs states={got.states} against-the-oracle={got.bad} half-files={got.torn}")
    row("C01", f"{name}-{kind}-control-bites", got.bad > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_breaks(folder, kind):
    """From a moment on every write fails: 4xx from then on.  What had its 250 before is there when the disk is well again."""
    recording = SpoolRecording(kind, folder, 0)
    recording.prepare()
    suite, device, replies = recording.suite, recording.device, []
    with device.recorded() as mount:
        recording.place(mount)
        suite.launch()
        for n in range(3):
            recording.send(f"m{n}", "you@elsewhere.test", 300)
        device.mark("fail now")
        for n in range(3, 6):
            replies.append(reply_to(suite, f"m{n}", 90000 if n == 5 else 300))
        suite.kill_all()
        device.mark("heal now")
        recording.clear_away(mount)
    with device.plain(device.live) as mount:  # its journal is played back
        found = {f.subject for f in look_at_spool(mount)[0]}
    print(f"{kind}: {replies}, there: {sorted(found)}")
    row("C07", f"eio-{kind}", all(r[0] == "4" for r in replies) and {"m0", "m1", "m2"} <= found)


def reply_to(suite, mark, size):
    c = suite.smtp(seconds=60)
    c.ehlo()
    for line in ("MAIL FROM:<bob@example.test>", "RCPT TO:<you@elsewhere.test>"):
        got = c.command(line)
        if got[0] != "2":
            return got
    got = c.data(f"Subject: {mark}\n\n" + ("z" * 76 + "\n") * (size // 77))
    c.close()
    return got
