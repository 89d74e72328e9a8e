"""To the mail exchangers of a domain, through a real DNS and another network; and no message ever comes back to us that way."""

import email
import re
import socket

import pytest

import elsewhere
from harness import make_certificate, row, wait_until

pytestmark = [pytest.mark.root, pytest.mark.skipif(not elsewhere.possible(), reason="no network namespaces here")]


@pytest.fixture
def world():
    with elsewhere.Elsewhere() as w:
        yield w


@pytest.fixture
def out(suite, world):
    """A suite that asks the DNS of that world."""
    suite.resolver = f"forward {world.address(2)}"
    return suite


def send(suite, *recipients, body="Subject: out\n\nhello\n"):
    c = suite.login()
    got = c.message("alice@example.test", list(recipients), body)
    c.close()
    return got.split()[-1]


def deferral(suite, seconds=40):
    (m,) = wait_until(lambda: [m for m in suite.queue() if m["last"]], seconds, "a deferral")
    return m["last"]


def report(suite):
    (text,) = suite.wait_messages("alice@example.test", seconds=40)
    return email.message_from_bytes(text).get_payload()[1].as_string()


def publish(world, **hosts):
    for name, host in hosts.items():
        world.zone.records[f"{name}.far.test"] = [f"A {world.address(host)}"]


def test_the_preferred_host_is_tried_first(out, world):
    publish(world, one=3, two=4)
    world.zone.records["far.test"] = ["MX 20 two.far.test.", "MX 10 one.far.test."]
    one, two = world.hop(3), world.hop(4)
    out.start()
    send(out, "you@far.test")
    ((sender, recipients, data),) = one.wait()
    assert (sender, recipients) == ("alice@example.test", ["you@far.test"]) and not two.sessions
    wait_until(lambda: out.queue() == [], what="an empty queue")


def test_the_next_host_when_one_refuses_connections_or_the_session(out, world):
    publish(world, dead=3, busy=4, good=5)
    world.zone.records["far.test"] = ["MX 10 dead.far.test.", "MX 20 busy.far.test.", "MX 30 good.far.test."]
    busy, good = world.hop(4, script={"greeting": "421 4.3.2 busy"}), world.hop(5)
    out.start()
    send(out, "you@far.test")
    good.wait()
    assert busy.sessions, "the one before it was asked"


def test_a_host_that_never_answers_costs_a_timeout_only(out, world):
    publish(world, silent=6, good=5)
    world.unreachable(6)
    world.zone.records["far.test"] = ["MX 10 silent.far.test.", "MX 20 good.far.test."]
    good = world.hop(5)
    out.settings += "connect_timeout 1s\n"
    out.start()
    send(out, "you@far.test")
    good.wait()


def test_without_mx_the_domain_is_its_own_host(out, world):
    world.zone.records["plain.test"] = [f"A {world.address(3)}"]
    hop = world.hop(3)
    out.start()
    send(out, "you@plain.test")
    assert hop.wait()[0][1] == ["you@plain.test"]


def test_an_address_literal(out, world):
    hop = world.hop(3)
    out.start()
    send(out, f"you@[{world.address(3)}]")
    assert hop.wait()[0][1] == [f"you@[{world.address(3)}]"]


def test_opportunistic_tls(out, world, tmp_path):
    publish(world, one=3)
    world.zone.records["far.test"] = ["MX 10 one.far.test."]
    hop = world.hop(3, tls=make_certificate(tmp_path, ("other.name",), "hop"))
    out.start()
    send(out, "you@far.test")
    hop.wait()
    assert [secure for line, secure in hop.sessions[0] if line.startswith("MAIL")] == [True]


def test_no_such_domain_and_null_mx_are_returned(out, world):
    world.zone.records["nullmx.test"] = ["MX 0 ."]
    out.start()
    send(out, "you@nowhere.test", "me@nullmx.test")
    wait_until(lambda: sum(m.count(b"Action: failed") for m in out.messages("alice@example.test")) == 2, 40, "two returns")
    texts = b"".join(out.messages("alice@example.test"))
    statuses = dict(re.findall(rb"Final-Recipient: rfc822;(\S+)\r?\nAction: failed\r?\nStatus: (\S+)", texts))
    assert statuses == {b"you@nowhere.test": b"5.1.2", b"me@nullmx.test": b"5.1.10"}


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED"])
def test_a_dns_that_does_not_know_defers(out, world, code):
    world.zone.codes["broken.test"] = code
    out.start()
    send(out, "you@broken.test")
    said = deferral(out)
    row("A4", f"dns-{code.lower()}", not out.messages("alice@example.test") and "DNS" in said)


def test_a_silent_dns_defers(out, world):
    out.resolver = f"forward {world.address(9)}"
    world.unreachable(9)
    out.start()
    send(out, "you@far.test")
    deferral(out, 60)
    row("A4", "dns-silent", not out.messages("alice@example.test"))


def test_ourselves_by_name(out, world):
    """Mail for a domain whose best host is this one, and which is not ours here, would come back for ever."""
    publish(world, worse=3)
    world.zone.records["mx.example.test"] = [f"A {world.address(4)}"]
    world.zone.records["loop.test"] = ["MX 10 mx.example.test.", "MX 20 worse.far.test."]
    hops = [world.hop(3), world.hop(4)]
    out.start()
    send(out, "you@loop.test")
    row("H05", "our-name-best", "Status: 5.4.6" in report(out) and not any(h.sessions for h in hops))


def test_ourselves_by_address_in_the_middle(out, world):
    """Of a domain that we are a backup of: the hosts better than us are tried, never us, never the worse ones."""
    publish(world, best=3, worse=4)
    world.zone.records["other-name.test"] = [f"A {world.here}"]
    world.zone.records["backup.test"] = ["MX 10 best.far.test.", "MX 20 other-name.test.", "MX 30 worse.far.test."]
    worse = world.hop(4)
    out.start()
    send(out, "you@backup.test")
    said = deferral(out)
    row("H05", "our-address-middle", not worse.sessions and not out.messages("alice@example.test") and said != "")
    best = world.hop(3)
    out.postern("queue", "retry", "all")
    best.wait()


def port_25():
    try:
        return socket.create_server(("127.0.0.1", 25))
    except OSError:
        return None


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "169.254.1.1", "224.0.0.1"])
def test_addresses_that_are_nobodys(out, world, address):
    """A domain that points at loopback sends nothing into our own network."""
    kind = "AAAA" if ":" in address else "A"
    world.zone.records["trap.test"] = ["MX 10 inner.trap.test."]
    world.zone.records["inner.trap.test"] = [f"{kind} {address}"]
    trap = None
    if address.startswith("127."):
        trap = wait_until(port_25, 60, "port 25, which another run may have")
        trap.settimeout(0.1)
    out.start()
    send(out, "you@trap.test")
    wait_until(lambda: out.messages("alice@example.test") or [m for m in out.queue() if m["last"]], 40, "an end")
    nobody_came = True
    if trap is not None:
        try:
            trap.accept()
            nobody_came = False
        except TimeoutError:
            pass
        trap.close()
    row("A2", f"mx-at-{address}", nobody_came)


def test_a_backup_takes_mail_from_strangers(out, world):
    publish(world, best=3)
    world.zone.records["partner.test"] = ["MX 10 best.far.test."]
    best = world.hop(3)
    out.tables += "table backup_domains { partner.test }\n"
    out.routes += "\trelay internet as relay-domain if recipient.domain in backup_domains\n"
    out.start()
    c = out.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "you@partner.test")
    best.wait()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    assert c.command("RCPT TO:<you@far.test>").startswith("550 5.7.1")


def test_a_session_refused_by_all_hosts_is_returned_by_one_only_deferred(out, world):
    publish(world, one=3, two=4)
    world.zone.records["far.test"] = ["MX 10 one.far.test.", "MX 20 two.far.test."]
    world.hop(3, script={"greeting": "554 5.7.1 not you"})
    out.start()
    send(out, "you@far.test")
    deferral(out)
    assert not out.messages("alice@example.test"), "the other host could not be asked yet"
    world.hop(4, script={"greeting": "554 5.7.1 not you either"})
    out.postern("queue", "retry", "all")
    assert "not you" in report(out)


def test_dnssec_require_without_a_chain_defers(out, world):
    publish(world, one=3)
    world.zone.records["far.example"] = ["MX 10 one.far.test."]
    hop = world.hop(3)
    out.dnssec = "require"
    out.start()
    send(out, "you@far.example")
    deferral(out, 60)
    row("A4", "dnssec-require-unsigned", not hop.sessions and not out.messages("alice@example.test"))
