"""Who comes in: behind a proxy, too early, by which listener; and what is believed about it."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

import harness
from harness import BIN, ROLES, Smtp, free_ports, proc, program, row, wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
INET = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack(">HH", 4711, 25)
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n"
V2 = SIGNATURE + b"\x21\x11" + struct.pack(">H", len(INET)) + INET
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


@pytest.fixture
def proxied(suite):
    """A suite with a listener for proxies of this host, and one for proxies of another."""
    suite.proxied, suite.foreign, suite.implicit = free_ports(3)
    suite.listeners += (
        f"listen 127.0.0.1:{suite.proxied} {{ role mx  proxy 127.0.0.0/8  tls optional }}\n"
        f"listen 127.0.0.1:{suite.foreign} {{ role mx  proxy 192.0.2.0/24 }}\n"
        f"listen 127.0.0.1:{suite.implicit} {{ role mx  proxy 127.0.0.1  tls implicit }}\n")
    return suite


def connect(port, first=b""):
    c = Smtp(port, greet=False)
    c.send(first)
    return c


def delivered_from(suite, c, count=1):
    """The Received field of a message that is sent over this session."""
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    text = suite.wait_messages("alice@example.test", count)[-1].decode()
    return text[text.index("Received:"):]


@pytest.mark.parametrize("variant, header", [("v1", V1), ("v2", V2)])
def test_the_client_is_who_the_proxy_names(proxied, variant, header):
    proxied.start()
    c = connect(proxied.proxied, header)
    assert c.reply().startswith("220")
    received = delivered_from(proxied, c)
    row("E14", f"{variant}-named-in-received", "192.0.2.7" in received and "127.0.0.1" not in received.split("by")[0])
    line = proxied.wait_log(r"session-open.*client=192\.0\.2\.7 .*").group()
    row("E14", f"{variant}-proxy-in-the-log", "proxy=127.0.0.1" in line and "port=4711" in line and "local=198.51.100.1" in line)


def test_no_byte_behind_the_header_is_lost(proxied):
    """The header and all of a session in one write; the header a byte at a time; ClientHello right behind it."""
    proxied.start()
    session = b"EHLO c\r\nMAIL FROM:<you@elsewhere.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
    c = connect(proxied.proxied, V2 + session)
    replies = [c.reply()[:3] for _ in range(5)]
    row("E14", "pipelined-behind-the-header", replies == ["220", "250", "250", "250", "354"])
    c = Smtp(proxied.proxied, greet=False)
    c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in V1:
        c.send(bytes([byte]))
    row("E14", "byte-by-byte", c.reply().startswith("220"))
    c = connect(proxied.implicit, V2)
    c.wrap()
    row("E14", "tls-behind-the-header", c.reply().startswith("220"))
    proxied.wait_log(r"session-open.*client=192\.0\.2\.7 ")


BAD = {
    "no-header": b"EHLO client.example\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "v1-108-without-crlf": b"PROXY TCP4 " + b"1" * 97,
    "v1-scoped-ipv6": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "v1-wrong-family": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "v2-len-65535": SIGNATURE + b"\x21\x11\xff\xff" + INET,
    "v2-short": SIGNATURE + b"\x21\x11\x00\x08" + INET[:8],
    "v2-tlv-overlaps": SIGNATURE + b"\x21\x11\x00\x10" + INET + b"\x01\x00\x09h",
    "v2-version-3": SIGNATURE + b"\x31\x11\x00\x0c" + INET,
}


def test_what_is_malformed_is_closed(proxied):
    proxied.start()
    for variant, bad in BAD.items():
        row("E14", variant, connect(proxied.proxied, bad).closed())
    c = connect(proxied.proxied, V2[:20])
    c.socket.shutdown(socket.SHUT_WR)
    row("E14", "truncated", c.closed())
    wait_until(lambda: proxied.log().count("proxy-refused") == len(BAD) + 1, what="a line for each")
    assert "session-open" not in proxied.log()


def test_strangers(proxied):
    """From elsewhere than the proxies: closed, whatever it says."""
    proxied.start()
    row("E14", "stranger-with-header", connect(proxied.foreign, V1).closed())
    proxied.wait_log(r"proxy-refused proxy=127\.0\.0\.1 .*none of the networks")
    c = connect(proxied.mx, V1)
    assert c.reply().startswith("220")
    row("E14", "header-where-none-is-due", c.reply().startswith("500"))
    assert "192.0.2.7" not in proxied.log()


def test_without_an_address(proxied):
    """AF_UNIX, UNSPEC and UNKNOWN are the proxy itself, unless it is trusted; LOCAL always is."""
    nameless = {"unknown": b"PROXY UNKNOWN\r\n", "unspec": SIGNATURE + b"\x21\x00\x00\x00",
                "af-unix": SIGNATURE + b"\x21\x31\x00\xd8" + b"x" * 216}
    proxied.start()
    for variant, header in {**nameless, "local": LOCAL}.items():
        row("E14", variant, connect(proxied.proxied, header).reply().startswith("220"))
    proxied.stop()
    proxied.settings = "trusted 127.0.0.0/8\n"
    proxied.start()
    for variant, header in nameless.items():
        row("E14", f"{variant}-of-a-trusted-proxy", connect(proxied.proxied, header).closed())
    row("E14", "local-of-a-trusted-proxy", connect(proxied.proxied, LOCAL).reply().startswith("220"))


def test_trust_is_that_of_the_client(proxied):
    """A trusted proxy makes nobody trusted; a trusted client is so behind a proxy too."""
    proxied.settings = "trusted 127.0.0.0/8 198.51.100.99\n"
    proxied.start()
    c = connect(proxied.proxied, V1)
    c.reply()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    row("E14", "stranger-does-not-relay", c.command("RCPT TO:<x@other.test>").startswith("5"))
    c = connect(proxied.proxied, b"PROXY TCP4 198.51.100.99 198.51.100.1 4711 25\r\n")
    c.reply()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    row("E14", "trusted-client-relays", c.command("RCPT TO:<x@other.test>").startswith("250"))


def test_clients_are_counted_not_the_proxy(proxied):
    proxied.settings = "connections-per-host 2\n"
    proxied.start()
    kept = [connect(proxied.proxied, V1), connect(proxied.proxied, V1)]
    assert all(c.reply().startswith("220") for c in kept)
    row("E14", "client-is-counted", connect(proxied.proxied, V1).reply().startswith("421 4.7.0"))
    others = [connect(proxied.proxied, V1.replace(b"192.0.2.7", b"192.0.2.%d" % n)) for n in range(10, 14)]
    row("E14", "proxy-is-not-counted", all(c.reply().startswith("220") for c in others))
    proxied.wait_log(r"connection-refused client=192\.0\.2\.7 proxy=127\.0\.0\.1")


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2"])
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_a_real_haproxy(proxied, how):
    """Its clients are named, its checks pass, and STARTTLS goes through it."""
    proxied.start()
    front = free_ports(1)[0]
    conf = proxied.folder / "haproxy.cfg"
    conf.write_text("global\n\tmaxconn 100\n"
                    "defaults\n\tmode tcp\n\ttimeout connect 10s\n\ttimeout client 60s\n\ttimeout server 60s\n"
                    f"frontend smtp\n\tbind 127.0.0.2:{front}\n\tdefault_backend postern\n"
                    "backend postern\n\toption smtpchk EHLO haproxy.example\n"
                    f"\tserver one 127.0.0.1:{proxied.proxied} {how} check inter 500ms check-send-proxy\n")
    process = subprocess.Popen(["haproxy", "-db", "-f", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        c = wait_until(lambda: attempt(front), what="haproxy")
        here = c.socket.getsockname()[0]
        c.ehlo()
        c.starttls()
        row("E14", f"haproxy-{how}", "([127.0.0.9])" in delivered_from(proxied, c) and here == "127.0.0.9")
        proxied.wait_log(r"session-close.*client=127\.0\.0\.1 ")  # a check
        assert "proxy-refused" not in proxied.log()
    finally:
        process.terminate()
        process.wait()


def attempt(port):
    """A session through haproxy from an address of its own, once haproxy listens and knows that the server lives."""
    try:
        s = socket.create_connection(("127.0.0.2", port), 20, source_address=("127.0.0.9", 0))
    except ConnectionError:
        return None
    c = Smtp.__new__(Smtp)
    c.socket, c.buffer = s, b""
    try:
        c.greeting = c.reply()
    except ConnectionError:
        return None
    return c


def test_a_silent_proxy_delays_nobody(proxied):
    proxied.start()
    waiting = [connect(proxied.proxied, V2[:n]) for n in (0, 1, 15, 27)]
    assert connect(proxied.proxied, V1).reply().startswith("220")
    assert "waiting 4" in proxied.postern("status").stdout
    for c, rest in zip(waiting, (V2, V2[1:], V2[15:], V2[27:])):
        c.send(rest)
        assert c.reply().startswith("220")


# ---- early talkers ----

def test_early_talkers(suite):
    """A client that does not wait for the banner: known at connect, and at each later stage."""
    paused = free_ports(1)[0]
    suite.listeners += f"listen 127.0.0.1:{paused} {{ role mx  name paused  greet-pause 60s }}\n"
    suite.policy = ('policy connect {\n\treject "too early" if client.early and listener.name == "paused" and listener.port != 1\n}\n'
                    'policy mail {\n\tadd-header "X-Early: {client.early}"\n}\n')
    suite.start()
    c = Smtp(paused, greet=False)
    c.send("EHLO client.example\r\n")
    row("early", "greet-pause", c.reply().startswith("554 5.7.1 too early"))
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    row("early", "who-waits", b"X-Early: no" in suite.wait_messages("alice@example.test")[0])


def test_early_during_a_delay(suite):
    """What comes while a rule at connect delays the banner is early too."""
    suite.policy = ("policy connect { delay 3s }\n"
                    'policy helo {\n\treject "you did not wait" if client.early\n}\n')
    suite.start()
    c = Smtp(suite.mx, greet=False)
    c.send("EHLO client.example\r\n")
    assert c.reply().startswith("220")
    row("early", "during-delay", c.reply().startswith("550 5.7.1 you did not wait"))
    c = suite.smtp()
    row("early", "after-delay", c.command("EHLO client.example").startswith("250"))


def test_greet_pause_ends(suite):
    paused = free_ports(1)[0]
    suite.listeners += f"listen 127.0.0.1:{paused} {{ role mx  greet-pause 1s }}\n"
    suite.start()
    began = time.monotonic()
    c = Smtp(paused)
    row("early", "pause-then-banner", c.greeting.startswith("220") and time.monotonic() - began > 0.8)


def test_pipelining_without_leave(suite):
    suite.policy = 'policy mail {\n\treject "wait for the answer to EHLO" if client.pipelined\n}\n'
    suite.start()
    c = suite.smtp()
    c.send("EHLO client.example\r\nMAIL FROM:<you@elsewhere.test>\r\n")
    c.reply()
    row("early", "pipelined-behind-ehlo", c.reply().startswith("550 5.7.1 wait"))
    c = suite.smtp()
    c.ehlo()
    c.send("MAIL FROM:<you@elsewhere.test>\r\nRCPT TO:<alice@example.test>\r\n")
    row("early", "pipelining-as-announced", c.reply().startswith("250") and c.reply().startswith("250"))


# ---- listeners ----

def test_each_listener_speaks_for_itself(suite):
    a, b = free_ports(2)
    suite.listeners += (f'listen 127.0.0.1:{a} {{ role mx  name inner  hostname in.example.test  banner "ESMTP only ours" }}\n'
                        f"listen 127.0.0.1:{b} {{ role mx }}\n")
    suite.policy = ('policy mail {\n\treject "inner" if listener.name == "inner"\n'
                    f'\treject "at {{listener.address}} {{listener.port}} {{listener.name}}" if listener.port == {b} and '
                    'listener.address in 127.0.0.0/8\n}\n')
    suite.start()
    c = suite.smtp(a)
    assert c.greeting == "220 in.example.test ESMTP only ours"
    assert c.ehlo().startswith("250-in.example.test")
    c.expect("550 5.7.1 inner", "MAIL FROM:<you@elsewhere.test>")
    c = suite.smtp(b)
    assert c.greeting == "220 mx.example.test ESMTP Postern"
    c.ehlo()
    c.expect(f"550 5.7.1 at 127.0.0.1 {b} 127.0.0.1:{b}", "MAIL FROM:<you@elsewhere.test>")
    c = suite.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")


# ---- XCLIENT ----

@pytest.fixture
def relayed(suite):
    """A suite with a listener that believes 127.0.0.1 about others, shared and in a process each."""
    suite.shared, suite.apart = free_ports(2)
    suite.listeners += (f"listen 127.0.0.1:{suite.shared} {{ role mx  xclient 127.0.0.1 }}\n"
                        f"listen 127.0.0.1:{suite.apart} {{ role mx  xclient 127.0.0.1  isolation connection }}\n")
    suite.settings = "trusted 198.51.100.0/24\n"
    return suite


@pytest.mark.parametrize("isolation", ["shared", "apart"])
def test_xclient_names_the_client(relayed, isolation):
    relayed.policy = 'policy connect {\n\treject "not {client}" if client in 203.0.113.0/24\n}\n'
    relayed.start()
    c = relayed.smtp(getattr(relayed, isolation))
    assert "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT" in c.ehlo()
    said = "XCLIENT NAME=client.example ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=client.example DESTADDR=192.0.2.1 DESTPORT=25"
    c.expect("220 mx.example.test", said)
    row("xclient", f"{isolation}-begins-anew", c.command("MAIL FROM:<you@elsewhere.test>").startswith("503"))
    row("xclient", f"{isolation}-in-received", "192.0.2.7" in delivered_from(relayed, c))
    line = relayed.wait_log(r" xclient .*").group()
    assert "client=192.0.2.7" in line and "proxy=127.0.0.1" in line and "helo=client.example" in line
    c = relayed.smtp(getattr(relayed, isolation))
    row("xclient", f"{isolation}-is-judged-at-connect", c.command("XCLIENT ADDR=203.0.113.9").startswith("554 5.7.1 not 203.0.113.9"))
    c = relayed.smtp(getattr(relayed, isolation))
    c.expect(220, "XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE]")
    relayed.wait_log(r" xclient .*client=2001:db8::7 ")


def test_xclient_refused(relayed):
    relayed.start()
    c = relayed.smtp()
    assert "XCLIENT" not in c.ehlo()
    row("xclient", "not-offered-not-taken", c.command("XCLIENT ADDR=192.0.2.7").startswith("550 5.7.0"))
    c = relayed.smtp(relayed.shared)
    c.ehlo()
    row("xclient", "login-is-not-taken-over", c.command("XCLIENT ADDR=192.0.2.7 LOGIN=alice@example.test").startswith("550 5.7.0"))
    row("xclient", "trusted-client-must-come-itself", c.command("XCLIENT ADDR=198.51.100.7").startswith("550 5.7.0"))
    for bad in ("ADDR=mx.example.test", "ADDR=192.0.2.7 ADDR=192.0.2.8", "NAME=x", "ADDR=[UNAVAILABLE]", "PORT=70000 ADDR=192.0.2.7",
                "WHO=x", "ADDR", "ADDR=192.0.2.7+0D+0A", "PROTO=HTTP ADDR=192.0.2.7"):
        c.expect("501 5.5.4", f"XCLIENT {bad}")
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    c.expect(503, "XCLIENT ADDR=192.0.2.7")
    c.expect(250, "RCPT TO:<alice@example.test>")
    assert not re.search(r" xclient .*client=198", relayed.log())


def test_xclient_counts_the_client(relayed):
    relayed.settings += "connections-per-host 2\n"
    relayed.start()
    kept = []
    for _ in range(2):
        kept.append(relayed.smtp(relayed.shared))
        kept[-1].expect(220, "XCLIENT ADDR=192.0.2.7")
    c = relayed.smtp(relayed.shared)
    row("xclient", "client-is-counted", c.command("XCLIENT ADDR=192.0.2.7").startswith("421 4.3.2") and c.closed())
    c.close()
    wait_until(lambda: "session-close" in relayed.log(), what="its end")
    others = [relayed.smtp(relayed.shared) for _ in range(2)]
    row("xclient", "proxy-is-not", all(o.greeting.startswith("220") for o in others))


# ---- workers that take turns ----

def instances(suite, role="smtpd"):
    rows = json.loads(suite.postern("--json", "status").stdout)
    rows = rows["rows"] if isinstance(rows, dict) else rows
    return {int(r["instance"]): r for r in rows if r["role"] == role}


def test_a_worker_is_replaced(suite):
    """After so many sessions another worker takes the place; who is connected stays, and nobody is refused."""
    suite.settings = "smtpd-workers 1\nsmtpd-sessions-max 5\n"
    suite.start()
    first = suite.smtp()
    first.ehlo()
    greetings = [suite.smtp().greeting for _ in range(40)]
    row("turns", "nobody-is-refused", all(g.startswith("220") for g in greetings))
    suite.wait_log(r"worker-retires role=smtpd")
    first.message("you@elsewhere.test", "alice@example.test")
    row("turns", "who-is-connected-stays", len(suite.wait_messages("alice@example.test")) == 1)
    first.close()
    suite.wait_log(r"info master.* child-ended role=smtpd .*exit 0")


def test_a_worker_that_does_not_leave_is_ended(suite):
    """One that was taken over keeps its sessions, and its place, no longer than an honest one could."""
    suite.settings = "smtpd-workers 1\nsmtpd-sessions-max 2\nsession-timeout 30s\nwatchdog 0\n"
    suite.start()
    kept = [suite.smtp(), suite.smtp()]
    suite.wait_log(r"worker-retires role=smtpd instance=0 ")
    old = int(suite.wait_log(r"child-ready role=smtpd instance=0 child=(\d+)").group(1))
    suite.wait_log(r"child-ready role=smtpd instance=100 child=(\d+)")

    def the_other_serves():
        kept.append(suite.smtp())
        return int(instances(suite)[100]["now"].get("sessions", 0)) > 0
    wait_until(the_other_serves, what="a session at the other")
    os.kill(old, signal.SIGSTOP)  # it neither hears nor says anything, and holds two sessions
    harness.turn_clock(suite, 120)
    assert old in suite.pids("smtpd") and "worker-overstays" not in suite.log()
    harness.turn_clock(suite, 60)
    suite.wait_log(rf"worker-overstays role=smtpd instance=0 child={old}")
    suite.wait_log(rf"info master.* child-ended role=smtpd instance=0 child={old} how=\"?signal 9")
    row("turns", "who-overstays-is-ended", all(c.closed() for c in kept[:2]) and suite.smtp().greeting.startswith("220"))


def test_the_warm_parent_is_replaced_before_its_last_fork(suite):
    suite.settings = "connections-per-host 1000\n"
    suite.start()
    parent = [p for p in suite.pids("smtpd")]
    kept = suite.smtp(suite.submission)
    kept.ehlo()
    greetings = []
    for _ in range(300):
        c = suite.smtp(suite.submission)
        greetings.append(c.greeting)
        c.close()
    row("turns", "parent-nobody-is-refused", all(g.startswith("220") for g in greetings))
    suite.wait_log(r"child-ended role=smtpd instance=1000 ")
    row("turns", "parent-is-another", set(suite.pids("smtpd")) - set(parent) != set())
    kept.expect(250, "NOOP")


def test_a_crash_of_a_session_replaces_the_parent(suite):
    suite.start()
    before = set(suite.pids("smtpd"))
    c = suite.smtp(suite.submission)
    other = suite.smtp(suite.submission)
    other.ehlo()
    victims = [p for p in suite.children() if program(p) == "postern-smtpd" and p not in before]
    assert len(victims) == 2
    os.kill(min(victims), signal.SIGSEGV)
    line = suite.wait_log(r"session-process-crashed.*signal=11").group()
    assert "session=" in line
    row("turns", "crash-ends-one-session", c.closed())
    suite.wait_log(r"child-ended role=smtpd instance=1000 ")
    row("R12", "crash-replaces-the-parent", len(set(suite.pids("smtpd")) - before) == 1)
    other.expect(250, "NOOP")
    assert suite.smtp(suite.submission).greeting.startswith("220")


# ---- stopping ----

@pytest.mark.parametrize("listener", ["mx", "submission", "submissions"])
def test_idle_clients_hear_of_the_end_at_once(suite, listener):
    suite.start()
    c = Smtp(getattr(suite, listener), tls=listener == "submissions")
    c.ehlo()
    suite.process.send_signal(signal.SIGTERM)
    said = c.reply()
    c.close()
    suite.process.wait(60)
    row("stop", f"{listener}-is-told-why", said.startswith("421 4.3.2"))
    # not at the gate's own deadline, when the session would have heard that a part was restarted
    row("stop", f"{listener}-at-once", "code=421 dsn=4.3.0" not in suite.log())


# ---- masses ----

def pss(suite):
    """KiB of gate and smtpd."""
    found = [re.search(r"^Pss:\s+(\d+)", proc(pid, "smaps_rollup"), re.M) for role in ("gate", "smtpd") for pid in suite.pids(role)]
    return sum(int(f.group(1)) for f in found if f)


@pytest.mark.skipif(os.environ.get("POSTERN_BUILD", "").endswith("asan+ubsan"), reason="measures memory")
def test_a_thousand_idle_clients_cost_little(suite):
    """tests/bench/idle measures ten times as many."""
    suite.settings = "connections-per-host 2000\nconnections-per-net 2000\nlog-level warn\n"
    suite.start()
    for _ in range(20):
        suite.smtp().close()
    before = pss(suite)
    kept = [suite.smtp() for _ in range(1000)]
    for c in kept:
        c.send("EHLO client.example\r\n")
    for c in kept:
        c.reply()
    each = (pss(suite) - before) / len(kept)
    row("masses", "idle-memory", each <= 8)
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    row("masses", "a-new-client-is-served", len(suite.wait_messages("alice@example.test")) == 1)
    for c in kept:
        c.close()


@pytest.mark.parametrize("variant", ["zero-window", "half-starttls", "renegotiation"])
def test_who_does_not_go_on_delays_nobody(suite, variant):
    """Clients that read nothing, that break off in a handshake, or that want another one: the next is served as before."""
    suite.settings = "connections-per-host 2000\nconnections-per-net 2000\nlog-level warn\n"
    suite.start()
    stalled = []
    for _ in range(100):
        c = suite.smtp()
        stalled.append(c)
        if variant == "zero-window":
            c.socket.setblocking(False)
            with contextlib.suppress(OSError):  # full; or ended, for too many commands
                while True:
                    c.socket.send(b"HELP\r\n" * 5000)
        else:
            c.ehlo()
            c.expect(220, "STARTTLS")
            c.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" if variant == "half-starttls" else
                   b"\x16\x03\x01\x00\x04\x00\x00\x00\x00")  # a HelloRequest, which is a server's to say
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    row("O05", variant, len(suite.wait_messages("alice@example.test")) == 1)
    for c in stalled:
        c.close()


def test_few_descriptors_are_told_and_survived(suite):
    """Where the limit is lower than connections-max the start says so, and who is too many hears 421; nobody dies of it."""
    suite.prefix = ["prlimit", "--nofile=400:400"]
    suite.settings = "connections-max 5000\nconnections-per-host 5000\nconnections-per-net 5000\nsmtpd-workers 1\n"
    suite.start()
    line = suite.wait_log(r"descriptors-few .*").group()
    assert "limit=400" in line and "served=136" in line
    pids = suite.pids("smtpd") + suite.pids("gate")
    kept = [suite.smtp() for _ in range(200)]
    served = [c for c in kept if c.greeting.startswith("220")]
    row("R02", "few-descriptors-421", len(served) == 136 and all(c.greeting.startswith("421") for c in kept if c not in served))
    served[0].ehlo()
    served[0].message("you@elsewhere.test", "alice@example.test", "Subject: large\n\n" + ("x" * 70 + "\n") * 3000)
    row("R02", "few-descriptors-who-is-served-stays", suite.pids("smtpd") + suite.pids("gate") == pids)


# ---- the control socket ----

def control(suite):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(str(suite.folder / "run" / "control"))  # waits for room in the queue
    s.settimeout(20)
    return s


def say(s, data, fds=0):
    with contextlib.suppress(OSError):
        if fds:
            socket.send_fds(s, [data], [0] * fds)
        else:
            s.send(data)


def started(suite):
    """What the master has started: the same as long as none of it was restarted."""
    return {role: suite.pids(role) for role in ROLES}


def test_the_control_socket_under_attack(running):
    """Whatever is said there ends that connection only: same processes afterwards, and the next command is answered."""
    pids = started(running)
    packet = captured_question(running)
    attacks = {
        "length-0": lambda s: say(s, b""), "length-3": lambda s: say(s, b"abc"), "length-65536": lambda s: say(s, b"x" * 65536),
        "length-2-31": lambda s: say(s, struct.pack("=IIII", 0x7fffffff, 0x7fffffff, 0x80000000, 0xffffffff)),
        "one-descriptor": lambda s: say(s, packet, 1), "253-descriptors": lambda s: say(s, packet, 253),
        "half-a-message": lambda s: say(s, packet[:len(packet) // 2]),
    }
    for variant, attack in attacks.items():
        with control(running) as s:
            attack(s)
        running.postern("status")
        row("O07", variant, pids == started(running))
    for at in range(min(len(packet), 48)):
        for value in (0, 0x7f, 0x80, 0xff):
            with control(running) as s:
                say(s, packet[:at] + bytes([value]) + packet[at + 1:])
    running.postern("status")
    row("O07", "each-byte-of-the-header", pids == started(running))
    stalled = [control(running) for _ in range(20)]
    for s in stalled:
        say(s, packet[:7])
    running.postern("status")
    row("O07", "stalled", pids == started(running))
    for s in stalled:
        s.close()
    for _ in range(10000):
        control(running).close()
    wait_until(lambda: running.postern("status", check=False).returncode == 0, what="an answer")
    row("O07", "ten-thousand-connections", pids == started(running))


def captured_question(suite):
    """What `postern status` says, word for word: heard on a socket in the place of the gate's."""
    folder = suite.folder / "overheard"
    folder.mkdir()
    conf = suite.conf_path.read_text().replace(f"runtime {suite.folder}/run", f"runtime {folder}")
    (suite.folder / "overheard.conf").write_text(conf)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(folder / "control"))
        server.listen()
        asking = subprocess.Popen([BIN / "postern", "--config", suite.folder / "overheard.conf", "status"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        s, _ = server.accept()
        packet = s.recv(65536)
        s.close()
        asking.wait(20)
    assert packet
    return packet


# ---- addresses of every kind ----

def test_mapped_addresses_are_ipv4(suite):
    """Whichever family the socket is of, and whoever names it: one client, one network."""
    both, proxied = free_ports(2)
    suite.listeners += f"listen :{both} {{ role mx }}\nlisten 127.0.0.1:{proxied} {{ role mx  proxy 127.0.0.0/8 }}\n"
    suite.policy = ('policy helo {\n\treject "from {client}" if client in 127.0.0.0/8 and listener.port == %d\n'
                    '\treject "from {client}" if client in 192.0.2.0/24\n}\n' % both)
    suite.start()
    for variant, family, host in (("ipv4", socket.AF_INET, "127.0.0.1"), ("mapped", socket.AF_INET6, "::ffff:127.0.0.1")):
        c = Smtp.__new__(Smtp)
        c.socket, c.buffer = socket.socket(family), b""
        c.socket.settimeout(20)
        c.socket.connect((host, both))
        c.reply()
        row("O06", variant, c.command("EHLO client.example") == "550 5.7.1 from 127.0.0.1")
    c = connect(proxied, b"PROXY TCP6 ::ffff:192.0.2.7 ::1 0 25\r\n")
    c.reply()
    row("O06", "mapped-in-a-header", c.command("EHLO client.example") == "550 5.7.1 from 192.0.2.7")
    running = suite.wait_log(r"session-open.*client=192\.0\.2\.7 port=0 ")
    row("O06", "source-port-0", running is not None)


SCOPED = """
import socket, sys
s = socket.socket(socket.AF_INET6)
s.settimeout(20)
s.connect((sys.argv[1], int(sys.argv[2]), 0, socket.if_nametoindex("inner0")))
f = s.makefile("rwb")
print(f.readline().decode().strip())
f.write(b"EHLO client.example\\r\\n"); f.flush()
line = f.readline()
while line[3:4] == b"-":
    line = f.readline()
print(line.decode().strip())
"""


@pytest.mark.root
def test_scoped_addresses(suite):
    """A link-local client, in a network namespace of its own."""
    name = f"postern-{os.getpid()}"
    ip = ["ip", "netns", "exec", name, "ip"]
    run = functools.partial(subprocess.run, check=True, capture_output=True, text=True)
    run(["ip", "netns", "add", name])
    try:
        for words in (["link", "set", "lo", "up"], ["link", "add", "inner0", "type", "veth", "peer", "name", "inner1"], ["link", "set", "inner0", "up"],
                      ["link", "set", "inner1", "up"],
                      ["addr", "add", "fe80::25/64", "dev", "inner0", "nodad"]):
            run([*ip, *words])
        port = free_ports(1)[0]
        suite.listeners += f"listen :{port} {{ role mx }}\n"
        suite.prefix = ["ip", "netns", "exec", name]
        suite.start()
        got = run(["ip", "netns", "exec", name, "python3", "-c", SCOPED, "fe80::25", str(port)]).stdout.splitlines()
        row("O06", "scoped", got[0].startswith("220") and got[1].startswith("250"))
        suite.wait_log(r"session-open.*client=fe80::25 ")
    finally:
        suite.stop()
        subprocess.run(["ip", "netns", "del", name])
