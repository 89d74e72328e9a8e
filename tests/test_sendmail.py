"""sendmail(1) without set-id bits: what programs really pass."""

import os
import subprocess

import pytest

from harness import BIN, programs_for, row


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


def test_a_message_over_the_size(suite):
    """EX_DATAERR, whoever counts it: the program or the server."""
    suite.settings += "message_size_max 100K\n"
    suite.start()
    done = sendmail(suite, "-f", "alice@example.test", "bob@example.test", input=b"Subject: large\n\n" + b"a line of it\n" * 20000)
    row("N03", "sendmail-over-the-size", done.returncode == 65 and b"Traceback" not in done.stderr and done.stderr != b"")
    sendmail(suite, "-f", "alice@example.test", "bob@example.test")
    assert len(suite.wait_messages("bob@example.test")) == 1 and suite.queue() == []


def test_exit_codes(local):
    assert sendmail(local, "nobody@example.test").returncode == 67
    assert sendmail(local).returncode == 64
    assert sendmail(local, "-X", "/x", "bob@example.test").returncode == 64
    local.stop()
    assert sendmail(local, "bob@example.test").returncode == 75


def test_bp_lists_the_queue(local):
    done = sendmail(local, "-bp")
    assert done.returncode == 0, done.stderr


def test_bs_is_a_session(local):
    """SMTP on standard input and output, as mail programs with "pipe to an MTA" speak it: all at once, and answered to the end."""
    done = sendmail(local, "-bs", input=b"EHLO me\r\nMAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
                    b"Subject: bs\r\n\r\nover a session\r\n.\r\nQUIT\r\n")
    assert done.returncode == 0, done.stderr
    codes = [line[:3] for line in done.stdout.decode().splitlines() if line[3:4] == " "]
    assert codes == ["220", "250", "250", "250", "354", "250", "221"]
    (text,) = local.wait_messages("bob@example.test")
    assert b"over a session" in text and b"uid" in text


def test_bs_without_an_end(local):
    """What the server heard is answered; a message that is cut off is none."""
    done = sendmail(local, "-bs", input=b"EHLO me\r\nMAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: x\r\n")
    assert done.returncode == 0 and b"\r\n354 " in done.stdout
    sendmail(local, "-f", "alice@example.test", "bob@example.test")
    assert len(local.wait_messages("bob@example.test")) == 1


def test_notifications_are_asked_for(local):
    done = sendmail(local, "-f", "alice@example.test", "-N", "success", "-R", "hdrs", "-V", "job 7+1", "bob@example.test")
    assert done.returncode == 0, done.stderr
    (report,) = local.wait_messages("alice@example.test")
    assert b"Action: delivered" in report and b"Original-Envelope-Id: job 7+1\n" in report


def test_q_tries_now(local):
    assert sendmail(local, "-q").returncode == 0
    assert sendmail(local, "-q15m").returncode == 64


def test_newaliases_has_nothing_to_do(local):
    done = sendmail(local, "-bi")
    assert done.returncode == 0 and b"nothing to build" in done.stdout


@pytest.mark.parametrize("words", [["-bd"], ["-bt"], ["-bv", "bob@example.test"], ["-bS"], ["-oQ/tmp", "bob@example.test"],
                                   ["-OQueueDirectory=/tmp", "bob@example.test"], ["-C/tmp/x", "bob@example.test"]])
def test_refused_with_a_sentence(local, words):
    done = sendmail(local, *words)
    assert done.returncode == 64 and done.stderr.startswith(b"sendmail: ") and len(done.stderr.split()) > 4


@pytest.mark.root
def test_mailq_is_for_root(local):
    environment = {"POSTERN_RUNTIME": str(local.folder / "run"), "PATH": "/usr/bin"}
    for folder in list(local.folder.parents)[:3] + [local.folder]:
        folder.chmod(0o755)
    done = subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", programs_for("nobody") / "sendmail",
                           "-bp"], capture_output=True, timeout=60, env=environment, cwd="/")
    assert done.returncode in (75, 77) and b"root" in done.stderr, done


def test_hostile_environment_and_folder(local, tmp_path, monkeypatch):
    """What others have read from the environment or the current folder: nothing of it matters here."""
    for name in ("DB_CONFIG", "openssl.cnf", "postern.conf", "resolv.conf"):
        (tmp_path / name).write_text("evil\n")
    for name in ("GCONV_PATH", "OPENSSL_CONF", "SSL_CERT_FILE", "RES_OPTIONS", "TMPDIR", "IFS", "PERL5LIB", "LOCALDOMAIN", "HOSTALIASES"):
        monkeypatch.setenv(name, str(tmp_path))
    done = sendmail(local, "-f", "alice@example.test", "bob@example.test", cwd=tmp_path)
    row("E11", "environment", done.returncode == 0 and len(local.wait_messages("bob@example.test")) == 1)
    done = sendmail(local, *["-pX:y"] * 100000, "bob@example.test")
    row("E11", "100000-options", done.returncode == 0 and len(local.wait_messages("bob@example.test", 2)) == 2)


def test_no_set_id_bits():
    """L07: whoever traces it, sends it signals or takes its descriptors has nothing that was not his."""
    row("L07", "no-set-id", (BIN / "sendmail").stat().st_mode & 0o6000 == 0 and "security.capability" not in os.listxattr(BIN / "sendmail"))


@pytest.mark.root
def test_in_a_unit_with_every_hardening_switch_on(suite, tmp_path):
    """Another user, nothing to gain, no capability, no network, a read-only world, no /home."""
    suite.settings += "local-senders any\n"  # a daemon that sends for others
    local = suite.start()
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
