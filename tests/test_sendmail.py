"""sendmail(1) without set-id bits: what programs really pass."""

import os
import subprocess

import pytest

from harness import BIN


def sendmail(suite, *words, input=b"Subject: s\n\nby sendmail\n", **options):
    environment = {**os.environ, "POSTERN_RUNTIME": str(suite.folder / "run")}
    return subprocess.run([BIN / "sendmail", *words], input=input, capture_output=True, timeout=60, env=environment, **options)


@pytest.fixture
def local(running):
    return running


def test_recipients_on_the_command_line(local):
    done = sendmail(local, "-f", "alice@example.test", "bob@example.test")
    assert done.returncode == 0, done.stderr
    (text,) = local.wait_messages("bob@example.test")
    assert b"by sendmail" in text and b"Date:" in text and b"Message-I" in text


def test_recipients_from_the_header(local):
    done = sendmail(local, "-t", "-oi", input=b"To: Bob <bob@example.test>\nBcc: alice@example.test\nSubject: t\n\nx\n.\ny\n")
    assert done.returncode == 0, done.stderr
    (to_bob,) = local.wait_messages("bob@example.test")
    local.wait_messages("alice@example.test")
    assert b"Bcc" not in to_bob and to_bob.endswith(b"x\n.\ny\n")


def test_exit_codes(local):
    assert sendmail(local, "nobody@example.test").returncode == 67
    assert sendmail(local).returncode == 64
    assert sendmail(local, "-X", "/x", "bob@example.test").returncode == 64
    local.stop()
    assert sendmail(local, "bob@example.test").returncode == 75


def test_bp_lists_the_queue(local):
    done = sendmail(local, "-bp")
    assert done.returncode == 0, done.stderr


def test_no_set_id_bits():
    assert (BIN / "sendmail").stat().st_mode & 0o6000 == 0


@pytest.mark.root
def test_in_a_unit_with_every_hardening_switch_on(local, tmp_path):
    """Another user, nothing to gain, no capability, no network, a read-only world, no /home."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2], tmp_path / "postern"):
        folder.chmod(0o755)
    box = f"""set -e
mount --make-rprivate /
mount -t tmpfs -o ro none /home
mount -o remount,bind,ro /
exec setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs --bounding-set -all --inh-caps -all "$@" """
    environment = {"POSTERN_RUNTIME": str(local.folder / "run"), "PATH": "/usr/bin"}
    done = subprocess.run(["unshare", "-m", "-n", "sh", "-c", box, "sh", BIN / "sendmail", "-t", "-i", "-F", "A Daemon",
                           "-f", "alice@example.test"], input=b"To: bob@example.test\nSubject: boxed\n\nfrom a unit\n",
                          capture_output=True, timeout=60, env=environment, cwd="/")
    assert done.returncode == 0, done.stderr
    (text,) = local.wait_messages("bob@example.test")
    assert b"from a unit" in text and b"A Daemon" in text
