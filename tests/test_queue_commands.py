"""The operator's view: queue list, show, hold, release, remove, retry; as text and as JSON; reload, status, stop, check."""

import json
import re

import pytest

from harness import BIN, row, wait_until


@pytest.fixture
def waiting(suite, next_hop):
    """A suite with one message that waits for its next hop."""
    suite.hop = next_hop(script={"MAIL": "451 4.3.0 not yet"})
    suite.internet = f'smtp "127.0.0.1:{suite.hop.port}"  allow-local yes  tls off'
    suite.settings += "trusted 127.0.0.0/8\n"
    suite.start()
    c = suite.smtp()
    c.ehlo()
    suite.ident = c.message("alice@example.test", "you@elsewhere.test").split()[-1]
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    return suite


def test_list_and_show(waiting):
    (m,) = waiting.queue()
    assert m["id"] == waiting.ident and m["sender"] == "alice@example.test"
    assert "you@elsewhere.test" in m["recipients"] if isinstance(m["recipients"], list) else m["recipients"]
    assert "not yet" in m["last"]
    text = waiting.postern("queue", "list").stdout
    assert waiting.ident in text and "not yet" in text
    shown = waiting.postern("queue", "show", waiting.ident).stdout
    assert "you@elsewhere.test" in shown and "not yet" in shown
    assert waiting.postern("queue", "show", "0000000000000", check=False).returncode != 0


def test_hold_and_release(waiting):
    waiting.postern("queue", "hold", waiting.ident)
    assert waiting.queue()[0]["state"] == "hold" and waiting.queue()[0]["next"] is None
    assert re.search(r" hold +alice@\S+ +you@\S+ +\S+ +\S+ +- ", waiting.postern("queue", "list").stdout)
    del waiting.hop.script["MAIL"]
    waiting.postern("queue", "retry", "all")
    waiting.stop()
    waiting.launch()  # it stays held over a restart
    wait_until(lambda: [m for m in waiting.queue() if m["state"] == "hold"], what="the held message")
    assert not waiting.hop.messages
    waiting.postern("queue", "release", waiting.ident)
    waiting.hop.wait()


def test_remove(waiting):
    waiting.postern("queue", "remove", waiting.ident)
    assert waiting.queue() == []
    waiting.wait_log(waiting.ident)
    assert not list((waiting.folder / "spool").glob(f"*/*/*/{waiting.ident}*"))


def test_retry_all(waiting):
    del waiting.hop.script["MAIL"]
    waiting.postern("queue", "retry", "all")
    waiting.hop.wait()
    wait_until(lambda: waiting.queue() == [], what="an empty queue")


def test_the_index_may_be_lost(waiting):
    waiting.kill_all()
    for path in (waiting.folder / "spool").glob("index.db*"):
        path.write_bytes(b"this is no database" * 1000)
    del waiting.hop.script["MAIL"]
    waiting.launch()
    waiting.postern("queue", "retry", "all")
    waiting.hop.wait()


def test_status(running):
    rows = json.loads(running.postern("--json", "status").stdout)
    roles = {r["role"] for r in rows}
    assert {"gate", "smtpd", "queue", "policyd", "relay", "local", "authd", "keyd", "resolver", "dial", "log"} <= roles
    assert "gate" in running.postern("status").stdout


def test_stop_by_command(running):
    running.postern("stop")
    running.process.wait(60)
    assert running.process.returncode == 0


def test_without_a_running_suite(suite):
    suite.write_conf()
    done = suite.postern("queue", "list", check=False)
    assert done.returncode != 0 and "running" in done.stderr


def test_reload_takes_a_new_configuration(running):
    c = running.smtp()
    c.ehlo()
    running.settings += "recipients_max 1\n"
    running.routes = '\treject 550 "closed today" if recipient.local == "bob"\n' + running.routes
    running.write_conf()
    running.postern("reload")
    new = running.smtp()
    new.ehlo()
    new.expect(250, "MAIL FROM:<you@elsewhere.test>")
    assert "closed today" in new.command("RCPT TO:<bob@example.test>")
    new.expect(250, "RCPT TO:<alice@example.test>")
    new.expect(452, "RCPT TO:<alice@example.test>")
    c.message("you@elsewhere.test", ["alice@example.test", "bob@example.test"])  # began before
    running.wait_messages("bob@example.test")


def test_reload_with_a_mistake_keeps_the_old(running):
    pids = {role: running.pids(role) for role in ("gate", "smtpd", "queue")}
    running.write_conf(running.conf() + "\nrecipient_max 5\n")
    done = running.postern("reload", check=False)
    assert done.returncode != 0
    assert "recipient_max" in done.stderr and "recipients-max" in done.stderr, "the nearest word"
    assert "\\x0a" not in done.stderr
    c = running.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    assert pids == {role: running.pids(role) for role in pids}


def test_sighup_reloads(running):
    import signal
    running.routes = '\treject 550 "closed today" if recipient.local == "bob"\n' + running.routes
    running.write_conf()
    running.process.send_signal(signal.SIGHUP)

    def closed():
        c = running.smtp()
        c.ehlo()
        c.expect(250, "MAIL FROM:<you@elsewhere.test>")
        got = c.command("RCPT TO:<bob@example.test>")
        c.close()
        return "closed today" in got
    wait_until(closed, what="the new rule")


def test_check_shows_all_mistakes(suite):
    suite.write_conf("hostnam x\nlisten 127.0.0.1:1 { role mxx }\nroute { deliver nowhere }\n")
    done = suite.postern("check", check=False)
    assert done.returncode != 0
    text = done.stderr + done.stdout
    for word in (":1:1", "hostname", ":2:", "mx", ":3:", "nowhere"):
        assert word in text, (word, text)
    suite.write_conf()
    assert suite.postern("check").returncode == 0


def test_garbage_on_the_control_socket_drops_only_that_connection(running):
    import os
    import random
    import socket
    pids = running.children()
    r = random.Random(7)
    for size in (0, 1, 3, 15, 16, 17, 100, 4096, 65535, 100000):
        for _ in range(5):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.connect(str(running.folder / "run" / "control"))
                try:
                    if size:
                        s.send(r.randbytes(size))
                    socket.send_fds(s, [r.randbytes(16)], [0, 1])
                except OSError:
                    pass
    running.postern("status")
    row("O07", "garbage", pids == running.children())
    assert os.path.exists(BIN / "postern")
