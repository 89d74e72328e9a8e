"""`postern sandbox verify`: a suite is as locked in as it should be, and a process that is not is named, with the reason."""

import json

import pytest

from harness import BIN, BUILD, free_ports, row

pytestmark = [pytest.mark.root,
              pytest.mark.skipif("asan" in str(BUILD), reason="filters and limits are wider in sanitizer builds")]


def verify(suite):
    done = suite.postern("--json", "sandbox", "verify", check=False)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    return done.returncode, {r["process"] for r in found}, [r for r in found if r["verdict"] != "ok"]


def test_a_suite_at_work(running):
    c = running.login()
    c.message("alice@example.test", "bob@example.test")
    running.wait_messages("bob@example.test")
    code, found, weaker = verify(running)
    print(weaker)
    wanted = {"master", "log", "gate", "smtpd", "smtpd.session", "queue", "policyd", "relay", "local", "authd", "authd.verifier",
              "authd.finder", "keyd", "resolver", "dial"}
    row("N06", "verify", code == 0 and wanted <= found and not weaker)


@pytest.mark.parametrize("backend", ["pam", "ldap"])
def test_the_processes_of_a_back_end(suite, backend):
    dead, = free_ports(1)
    auth = {"pam": "pam postern-none", "ldap": f'ldap {{ server "127.0.0.1:{dead}" tls off base "dc=x" filter "(mail=?)" }}'}[backend]
    suite.tables = 'table our_domains { "example.test" }\ntable our_users { "alice@example.test" }\n'
    plain = suite.conf
    suite.conf = lambda: plain().replace(f'sqlite "{suite.folder}/users/users.db" }}', f"{auth} }}", 1)
    suite.start(users=())
    code, found, weaker = verify(suite)
    print(weaker)
    row("N06", f"verify-{backend}", code == 0 and {"pam": "authd.pam", "ldap": "lookup.directory"}[backend] in found)


def test_a_weaker_process_is_named(suite, tmp_path):
    """keyd is started so that its filter is not loaded: it is the one named, and why it matters."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in BIN.iterdir():
        (programs / program.name).symlink_to(program)
    (programs / "postern-keyd").unlink()
    (programs / "postern-keyd").write_text(f'#!/bin/sh\nLD_PRELOAD={BUILD}/unit/no_filter.so exec {BIN}/postern-keyd "$@"\n')
    (programs / "postern-keyd").chmod(0o755)
    suite.command = [BIN / "postern-master", "-F", "-c", suite.conf_path, "--libexec", programs]
    suite.start()
    code, _, weaker = verify(suite)
    print(weaker)
    row("N06", "verify-weaker", code == 1 and [r["process"] for r in weaker] == ["keyd"] and
        "0 system call filters, not 1: who takes it over" in weaker[0]["deviates"])
