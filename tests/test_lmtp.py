"""LMTP: a verdict for each recipient; a real Dovecot over its Unix socket and over TCP."""

import os
import pathlib
import shutil
import subprocess

import pytest

from harness import NextHop, free_ports, wait_until

DOVECOT = shutil.which("dovecot") or "/usr/sbin/dovecot"


@pytest.fixture
def dovecot(tmp_path_factory):
    if os.geteuid() != 0 or not pathlib.Path(DOVECOT).exists():
        pytest.skip("Dovecot runs as root here")
    folder = tmp_path_factory.mktemp("dovecot", numbered=True)
    for parent in [folder, *folder.parents][:3]:
        os.chmod(parent, os.stat(parent).st_mode & 0o7777 | 0o055)
    (port,) = free_ports(1)
    for name in ("run", "state", "mail"):
        (folder / name).mkdir()
    shutil.chown(folder / "mail", "mail", "mail")
    (folder / "users").write_text("alice@example.test:{PLAIN}x\nbob@example.test:{PLAIN}x\n")
    (folder / "conf").write_text(f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
listen = 127.0.0.1
first_valid_uid = 8
mail_location = maildir:{folder}/mail/%u
default_login_user = dovenull
default_internal_user = dovecot
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%u
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    port = {port}
  }}
}}
""")
    process = subprocess.Popen([DOVECOT, "-F", "-c", folder / "conf"])
    wait_until(lambda: (folder / "run" / "lmtp").exists(), what="Dovecot")
    yield folder, port
    process.terminate()
    process.wait(20)


def deliver_by(suite, transport):
    suite.routes = "\tdeliver dovecot if recipient.domain in our_domains\n"
    suite.transports += transport
    return suite.start()


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_dovecot(suite, dovecot, way):
    folder, port = dovecot
    where = f'"{folder}/run/lmtp"' if way == "unix" else f'"127.0.0.1:{port}"  allow-local yes'
    deliver_by(suite, f"transport dovecot {{ lmtp {where} }}\n")
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", ["alice@example.test", "bob@example.test"], "Subject: d\n\nto Dovecot\n")
    for name in ("alice", "bob"):
        new = folder / "mail" / f"{name}@example.test" / "new"
        wait_until(lambda: new.is_dir() and list(new.iterdir()), what=f"mail for {name}")
        assert b"to Dovecot" in next(new.iterdir()).read_bytes()


def test_many_recipients_one_transaction_a_verdict_each(suite, next_hop):
    hop = next_hop(lmtp=True, script={"RCPT TO:<c@example.test>": "550 5.1.1 unknown here"})
    deliver_by(suite, f'transport dovecot {{ lmtp "127.0.0.1:{hop.port}"  allow-local yes }}\n')
    c = suite.login()
    c.message("alice@example.test", [f"{n}@example.test" for n in "abcd"])
    ((_, recipients, _),) = hop.wait()
    assert recipients == ["a@example.test", "b@example.test", "d@example.test"]
    assert hop.sessions[0][0][0].startswith("LHLO ")
    # the report for c goes to alice by the same way
    hop.wait(2)
    assert hop.messages[1][0] == "" and b"unknown here" in hop.messages[1][2]
