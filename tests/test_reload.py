"""A reload changes listeners, tables, transports and certificates while mail flows; who is connected notices nothing."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import time

import pytest

from harness import free_ports, make_certificate, row, wait_until


def rcpt(suite, address, port=None):
    c = suite.smtp(port)
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    got = c.command(f"RCPT TO:<{address}>")
    c.close()
    return got


def reload(suite):
    suite.write_conf()
    suite.postern("reload")


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_listener_is_added_and_taken_away(running):
    (port,) = free_ports(1)
    old = running.smtp()
    plain = running.listeners
    running.listeners += f"listen 127.0.0.1:{port} {{ role mx  tls off  hostname second.example.test }}\n"
    reload(running)
    new = running.smtp(port)
    assert new.greeting.startswith("220 second.example.test") and "STARTTLS" not in new.ehlo()
    old.ehlo()
    old.message("you@elsewhere.test", "alice@example.test")
    running.listeners = plain
    reload(running)
    wait_until(lambda: refused(port), what="a closed port")
    new.message("you@elsewhere.test", "alice@example.test", "Subject: late\n\na session ends as it began\n")
    assert len(running.wait_messages("alice@example.test", 2)) == 2


@pytest.mark.root
def test_users_of_transports_are_looked_up_anew(running):
    """Names become numbers in the reader, also at a reload; what local may not become it does not."""
    base = running.folder / "virtual"
    base.mkdir()
    base.chmod(0o755)
    shutil.chown(base, "nobody")

    def reload_with(user):
        running.transports = f'transport virtual {{ maildir "{base}/{{local}}/"  user {user} }}\n'
        running.routes = 'deliver virtual if recipient.domain == "virtual.test"\n' + plain
        running.write_conf()
        return running.postern("reload", check=False)

    plain = running.routes
    assert reload_with("nobody").returncode == 0
    # a folder it was not given takes another process
    wait_until(lambda: running.log().count("child-ready role=local") == 2, what="a new local")
    for user, why in (("postern-no-such-user", "does not exist on this system"), ("root", "never delivered as root"),
                      ("daemon", "restart to use it")):
        done = reload_with(user)
        row("N10", f"transport-user-{user}", done.returncode != 0 and why in done.stderr)
    c = running.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "carol@virtual.test")
    (mail,) = wait_until(lambda: list(base.glob("carol/new/*")), what="the mail")
    assert mail.owner() == "nobody"


def signal_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.root
def test_a_delivery_under_way_is_not_cut_off(running):
    """A new folder takes another local; the old one ends when its deliveries have an answer, so that none comes twice."""
    base = running.folder / "virtual"
    base.mkdir()
    base.chmod(0o755)
    shutil.chown(base, "nobody")
    (before,) = running.pids("local")
    c = running.smtp()
    c.ehlo()

    def subjects():
        return sorted(re.search(rb"^Subject: (\w+)", m, re.M)[1].decode() for m in running.messages("alice@example.test"))

    def send(subject):
        c.message("you@elsewhere.test", "alice@example.test", f"Subject: {subject}\n\nx\n")

    def hold(n):
        """Mailbox workers that stand still, one of them with a delivery; None: they had just ended, and another delivered."""
        send(f"first{n}")
        wait_until(lambda: f"first{n}" in subjects(), what="the first")
        workers = running.children(of=before)
        signal_all(workers, signal.SIGSTOP)
        send(f"held{n}")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: f"held{n}" in subjects(), seconds=1)
            signal_all(workers, signal.SIGCONT)
            return None
        return workers

    workers = next(filter(None, map(hold, range(5))))
    try:
        running.transports = f'transport virtual {{ maildir "{base}/{{local}}/"  user nobody }}\n'
        running.write_conf()
        running.postern("reload")
        running.wait_log("restart-for-reload role=local")
        send("meanwhile")
        running.wait_log("outcome=SHUTTING_DOWN")
        assert running.pids("local") == [before]
    finally:
        signal_all(workers, signal.SIGCONT)
    wait_until(lambda: "meanwhile" in subjects(), what="what came meanwhile")
    assert running.pids("local") != [before]
    row("A10", "reload-cuts-no-delivery", len(set(subjects())) == len(subjects()) and any(s.startswith("held") for s in subjects())
        and "ended in mid-delivery" not in running.log())


def test_a_port_that_is_taken_keeps_the_old(running):
    with socket.create_server(("127.0.0.1", 0)) as other:
        plain = running.listeners
        running.listeners += f"listen 127.0.0.1:{other.getsockname()[1]} {{ role mx  tls off }}\n"
        running.write_conf()
        done = running.postern("reload", check=False)
        assert done.returncode != 0 and str(other.getsockname()[1]) in done.stderr, done.stderr
        running.listeners = plain
    assert rcpt(running, "alice@example.test").startswith("250")


def test_tables_and_rules(running):
    assert rcpt(running, "info@new.test").startswith("550")
    before = running.tables, running.routes
    running.tables += "table aliases { info@new.test: alice@example.test }\n"
    running.routes = "\talias aliases\n" + running.routes
    reload(running)
    assert rcpt(running, "info@new.test").startswith("250")
    running.tables, running.routes = before
    reload(running)
    assert rcpt(running, "info@new.test").startswith("550")


def test_a_new_transport_takes_what_waited_for_the_old(suite, next_hop):
    (nobody,) = free_ports(1)
    hop = next_hop()
    suite.internet = f'smtp "localhost:{nobody}"  tls off  allow-local yes'
    suite.start()
    c = suite.login()
    c.message("alice@example.test", "you@elsewhere.test")
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    suite.transports += f'transport elsewhere {{ smtp "localhost:{hop.port}"  tls off  allow-local yes }}\n'
    suite.last_route = "\trelay elsewhere\n"
    reload(suite)
    suite.postern("queue", "retry", "all")
    hop.wait()
    wait_until(lambda: suite.queue() == [], what="an empty queue")


def test_what_waits_knows_its_listener(suite, next_hop):
    """Each reload may number the listeners anew; a message is routed as one of that where it came in, also after a kill."""
    (other,) = free_ports(1)
    hops = {name: next_hop(script={"MAIL": "451 4.3.0 not now"}) for name in ("first", "second")}
    plain = suite.listeners
    second = f"listen 127.0.0.1:{other} {{ role mx  tls off  name second  hostname two.example.test }}\n"
    suite.listeners = plain + second
    suite.transports = "".join(f'transport {name} {{ smtp "localhost:{hop.port}"  tls off  allow-local yes }}\n' for name, hop in hops.items())
    suite.last_route = '\trelay second as relay-domain if recipient.domain == "relayed.test" and listener.name == "second" and ' \
        f'hostname == "two.example.test" and listener.port == {other} and listener.address == 127.0.0.1 and header "X-Via" present\n' \
        '\trelay first as relay-domain if recipient.domain == "relayed.test"\n'
    suite.start()
    for port in (suite.mx, other):
        c = suite.smtp(port)
        c.ehlo()
        c.message(f"{port}@elsewhere.test", "x@relayed.test", "X-Via: 1\n\nhello\n" if port == other else "Subject: x\n\nhello\n")
    wait_until(lambda: len([m for m in suite.queue() if m["last"]]) == 2, what="two deferrals")
    suite.listeners = second + plain
    reload(suite)
    suite.listeners = plain
    reload(suite)
    suite.kill_all()
    for hop in hops.values():
        hop.script.clear()
    suite.start(users=())
    suite.postern("queue", "retry", "all")
    senders = {name: [m[0] for m in hop.wait()] for name, hop in hops.items()}
    row("A10", "listener-of-what-waits", all(port in senders[name][0] for name, port in (("first", str(suite.mx)), ("second", str(other)))))


def test_a_new_certificate(running):
    def shown():
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", running.submissions)) as s, context.wrap_socket(s) as t:
            return t.getpeercert(binary_form=True)
    old = shown()
    make_certificate(running.folder)
    running.postern("reload")
    assert shown() != old
    running.login().close()


@pytest.mark.parametrize("mistake", ["key of another", "no key", "garbage"])
def test_a_bad_certificate_keeps_the_old(running, mistake, tmp_path):
    if mistake == "key of another":
        running.key.write_bytes(make_certificate(tmp_path, stem="other")[1].read_bytes())
    elif mistake == "no key":
        running.key.unlink()
    else:
        running.certificate.write_text("no certificate")
    done = running.postern("reload", check=False)
    assert done.returncode != 0 and done.stderr, "it says why"
    running.login().close()


def test_many_reloads_under_way(running):
    c = running.smtp()
    c.ehlo()
    for i in range(10):
        running.settings = f"message_size_max {10 + i}M\n"
        reload(running)
        c.message("you@elsewhere.test", "alice@example.test", f"Subject: {i}\n\n{i}\n")
    assert f"SIZE {19 << 20}" in running.smtp().ehlo()
    assert len(running.wait_messages("alice@example.test", 10)) == 10


def generations(suite):
    gate = next(r for r in json.loads(suite.postern("--json", "status").stdout) if r["role"] == "gate")
    return {k: v for k, v in gate["now"].items() if k.startswith("sessions_of_generation_")}


def test_many_reloads_while_sessions_are_idle(running):
    """Each session keeps its configuration; those on the oldest are told to leave, and what they held is freed."""
    sessions = []
    for n in range(6):
        c = running.smtp(running.submission if n % 2 else running.mx, seconds=60)
        c.ehlo()
        sessions.append(c)
        running.settings = running.settings.replace(f"recipients_max {n + 10}\n", "") + f"recipients_max {n + 11}\n"
        running.write_conf()
        running.postern("reload")
    told = 0
    while told < 6 and sessions[told].socket.gettimeout() == 60:
        sessions[told].socket.settimeout(45 if told < 3 else 0.5)
        try:
            reply = sessions[told].reply()
        except TimeoutError:
            break
        assert reply.startswith("421 4.3.2"), reply
        told += 1
    wait_until(lambda: len(generations(running)) == 3, what="three generations")
    # The one in force is the seventh, and has no session yet.
    row("A10", "generations-bounded", told == 3 and set(generations(running)) == {f"sessions_of_generation_{n}" for n in (4, 5, 6)})
    for c in sessions[3:]:
        c.socket.settimeout(20)
        c.expect(250, "NOOP")
        c.close()
    wait_until(lambda: generations(running) == {}, what="the end of all sessions")


@pytest.mark.parametrize("wait_ms", [0, 10, 20, 40])
def test_a_reload_does_not_hold_up_the_end(suite, wait_ms):
    """Its answers come while processes end: none of those may be started again."""
    suite.start()
    suite.tables += "table many { " + " ".join(f'"u{i}@example.test"' for i in range(20000)) + " }\n"
    suite.write_conf()
    suite.process.send_signal(signal.SIGHUP)
    time.sleep(wait_ms / 1000)
    suite.process.send_signal(signal.SIGTERM)
    assert suite.process.wait(60) == 0, suite.log()[-3000:]
