"""Our own faults stay ours: 451 or 454 and a log line, never a 5xx, never relayed; a restart mends it."""

import json
import os
import signal

import pytest

from harness import PASSWORD, row, wait_until


def stop_role(suite, role):
    """SIGSTOP: it neither answers nor dies."""
    pids = suite.pids(role)
    assert pids, f"no {role}"
    suite.kill(role, signal.SIGSTOP)
    return pids


def resume(suite, pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_unreadable_table_is_451_and_never_relayed(suite, next_hop):
    hop = next_hop()
    table = suite.folder / "users" / "domains"
    table.write_text("example.test\n")
    suite.tables = suite.tables.replace('table our_domains { "example.test" }', f'table our_domains file "{table}"')
    suite.internet = f'smtp "127.0.0.1:{hop.port}"  allow-local yes  tls off'
    suite.start()
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    table.unlink()
    table.mkdir()
    wait_until(lambda: recipient_answer(suite, "x@example.test").startswith("451"), what="a 451")
    got = recipient_answer(suite, "you@elsewhere.test")
    row("A4", "unreadable-table", got.startswith("451") and not hop.messages)
    suite.wait_log("our_domains")


def recipient_answer(suite, address):
    c = suite.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    got = c.command(f"RCPT TO:<{address}>")
    c.close()
    return got


def test_stopped_policyd_is_451(running):
    pids = stop_role(running, "policyd")
    c = running.smtp(seconds=60)
    c.ehlo()
    c.send("MAIL FROM:<you@elsewhere.test>\r\n")
    assert c.reply()[0] in "24"
    got = c.command("RCPT TO:<alice@example.test>")
    resume(running, pids)
    assert got.startswith("451"), got


def test_dead_policyd_comes_back(running):
    (before,) = running.pids("policyd")
    running.kill("policyd")
    c = running.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    got = c.command("RCPT TO:<alice@example.test>")  # waits for the new one
    assert got.startswith(("250", "451")), got
    wait_until(lambda: running.pids("policyd") not in ([], [before]), what="a new policyd")
    wait_until(lambda: recipient_answer(running, "alice@example.test").startswith("250"), what="a 250")


def test_stopped_keyd_stops_no_other_session(running):
    """A stopped keyd: 454 or a failed handshake for who wants TLS; everybody else goes on."""
    plain = running.smtp()
    plain.ehlo()
    pids = stop_role(running, "keyd")
    wants = running.smtp(seconds=60)
    wants.ehlo()
    wants.send("STARTTLS\r\n")
    plain.message("you@elsewhere.test", "alice@example.test")
    running.wait_messages("alice@example.test")
    resume(running, pids)


def test_dead_keyd_is_454_or_comes_back(running):
    running.kill("keyd")

    def starttls():
        c = running.smtp()
        c.ehlo()
        return c.command("STARTTLS")
    got = starttls()
    assert got.startswith(("454", "220", "421")), got
    wait_until(lambda: running.pids("keyd"), what="a new keyd")

    def works():
        try:
            c = running.smtp(running.submissions, tls=True)
            c.ehlo()
            return True
        except OSError:
            return False
    wait_until(works, what="TLS again")


def test_stopped_authd_is_454(running):
    pids = stop_role(running, "authd")
    c = running.smtp(running.submissions, tls=True, seconds=60)
    c.ehlo()
    c.auth_plain("alice@example.test", PASSWORD, 454)
    resume(running, pids)


def test_dead_resolver_defers(suite):
    suite.settings += "trusted 127.0.0.0/8\n"
    suite.start()
    suite.kill("resolver")
    c = suite.smtp()
    c.ehlo()
    c.message("alice@example.test", "you@elsewhere.test")
    (m,) = wait_until(lambda: [m for m in suite.queue() if m["last"]], 40, "a deferral")  # DNS is waited for
    assert not suite.messages("alice@example.test"), "no report"


def test_stopped_queue_is_451_after_data(running):
    c = running.smtp(seconds=90)
    c.ehlo()
    c.envelope("you@elsewhere.test", "alice@example.test")
    c.expect(354, "DATA")
    pids = stop_role(running, "queue")
    c.send("Subject: x\r\n\r\nx\r\n.\r\n")
    got = c.reply()
    resume(running, pids)
    assert got.startswith("451"), got


@pytest.mark.parametrize("role", ["gate", "smtpd", "queue", "policyd", "relay", "local", "authd", "keyd", "resolver", "dial",
                                  "log"])
def test_every_process_is_restarted(running, role):
    before = running.pids(role)
    running.kill(role)
    wait_until(lambda: len(running.pids(role)) == len(before) and not set(before) & set(running.pids(role)),
               what=f"a new {role}")

    def mail_flows():
        try:
            c = running.smtp()
            c.ehlo()
            c.message("you@elsewhere.test", "alice@example.test")
            return True
        except (OSError, AssertionError):
            return False
    wait_until(mail_flows, what="mail accepted again")
    running.wait_messages("alice@example.test")


def test_status_of_a_hung_process(running):
    """Its row says so, and the others are there."""
    pids = stop_role(running, "keyd")

    def rows_of_status():
        rows = {r["role"]: r for r in json.loads(running.postern("--json", "status").stdout)}
        return rows if rows["queue"]["state"] == "ready" else None  # a second is little for who is only slow
    try:
        rows = wait_until(rows_of_status, what="a word of the queue")
    finally:
        resume(running, pids)
    assert rows["keyd"]["state"] == "silent" and rows["keyd"]["now"]["trouble"] == "does not answer", rows["keyd"]
    row("I04", "status-of-a-hung-process", rows["queue"]["state"] == "ready" and rows["queue"]["now"]["in_memory"] == 0)


def test_a_hung_process_is_started_anew(suite):
    suite.settings += "watchdog 3s\n"
    suite.start()
    (pid,) = stop_role(suite, "policyd")
    suite.wait_log(rf"child-hangs role=policyd instance=0 child={pid} ", 30)
    wait_until(lambda: recipient_answer(suite, "alice@example.test").startswith("250"), 30, "a new policyd")
    policyd = next(r for r in json.loads(suite.postern("--json", "status").stdout) if r["role"] == "policyd")
    row("R12", "hung-process", policyd["restarts"] >= 1 and policyd["pid"] != pid and "Killed" in policyd["last_end"])
