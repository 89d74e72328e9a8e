"""Addresses: what a stranger may write into one and never gets relayed by it; one domain by two names; what has no domain."""

import subprocess

import pytest

from harness import BIN, row, wait_until

# What has been tried against mail servers to have them relay (H08): %s is a foreign domain, @ours one of ours.
FORMS = """
you@%s <you@%s> "you"@%s "you@%s"@example.test "you@%s" you%%%s you%%%s@example.test you%%%s@mx.example.test you%%%s@[127.0.0.1]
you%%%s%%example.test you%%%s%%example.test@example.test "you%%%s"@example.test "you%%%s" %%%s@example.test you%%%s.@example.test
you%%%s@localhost you%%%s@127.0.0.1 you%%%s@example.test. %s!you %s!you@example.test %s!you@[127.0.0.1] %s!you@mx.example.test
"%s!you"@example.test example.test!%s!you example.test!%s!you@example.test @example.test:you@%s @mx.example.test:you@%s
@[127.0.0.1]:you@%s @localhost:you@%s @example.test,@%s:you@%s @:you@%s @example.test:%s!you @example.test:you%%%s @%s:alice@example.test
you@%s@example.test you@example.test@%s you@%s@[127.0.0.1] alice@example.test@%s <you@%s>@example.test you@%s:25 you@%s:alice@example.test
you@%s,alice@example.test you@%s;alice@example.test you@%s|alice "alice@example.test"@%s alice@example.test%%%s you@[%s] you@[127.0.0.1]
you@[::1] you@[IPv6:::1] you@[IPv6:::ffff:127.0.0.1] you@[0.0.0.0] you@[10.0.0.1] you@127.0.0.1 you@2130706433 you@[2130706433]
you@[127.1] you@[0x7f.0.0.1] you@[IPv6:fe80::1%%lo] you@[tag:127.0.0.1] you@[] you@[127.0.0.1 you@127.0.0.1] you@%s. you@.%s you@%s..
you@%s%%00.example.test you@%s\\@example.test you\\@%s@example.test "you\\@%s"@example.test "\\"you@%s\\""@example.test you+x@%s
postmaster@%s postmaster%%%s postmaster%%%s@example.test "postmaster@%s"@mx.example.test %s/you@example.test you/%s@example.test
you=%s@example.test you#%s@example.test you&%s@example.test ${you@%s} $(you@%s)@example.test `you@%s` you@%s$(id) you@{%s}
{recipient.local}@%s you@example.test{%s} |you@%s "|/bin/mail you@%s"@example.test /you@%s :include:you@%s \\you@%s -you@%s --@%s
you@xn--%s you@%s-example.test you@example.test.%s you@sub.example.test.%s you@EXAMPLE.TEST.%s "you@%s"@localhost
""".split()


def forms():
    return [f.replace("%%", "\0").replace("%s", "elsewhere.test").replace("\0", "%") for f in FORMS]


def test_no_form_of_an_address_relays_for_a_stranger(suite, next_hop):
    hop = next_hop()
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.settings += "errors-max 1000\n"
    suite.start()
    assert len(forms()) > 100
    c = suite.smtp()
    c.ehlo()
    for form in forms():
        for path in (f"<{form}>", form):
            c.expect(250, "MAIL FROM:<you@far.test>")
            got = c.command(f"RCPT TO:{path}")
            assert got[:3] in ("501", "550", "553", "555"), (form, got)
            c.expect(250, "RSET")
        row("H08", f"form-{form}", True)
    c.close()
    assert suite.queue() == [] and not hop.sessions and not hop.messages
    c = suite.smtp()
    c.ehlo()
    c.message("you@far.test", '"alice"@EXAMPLE.test')
    suite.wait_messages("alice@example.test")
    row("H08", "quotes-that-mean-nothing-are-the-same-address", True)


def test_u_label_and_a_label_are_one_domain(suite):
    """In tables of the configuration and of files, in conditions, and in what aliases name."""
    path = suite.folder / "users" / "aliases"
    path.write_text("info@m\u00fcnchen.test: alice@example.test\n@b\u00fccher.test: bob@example.test\n")
    path.chmod(0o644)
    suite.tables += (f'table aliases file "{path}"\ntable more {{ "sales@m\u00fcnchen.test": alice@example.test }}\n'
                     'table domains { m\u00fcnchen.test }\n')
    suite.routes = ('\talias aliases\n\talias more\n\treject "not in there" if recipient.domain in domains\n'
                    '\tdiscard if recipient == "void@stra\u00dfe.test" or recipient.domain in ("caf\u00e9.test")\n' + suite.routes)
    suite.start()
    c = suite.smtp()
    c.ehlo()
    for address in ("info@m\u00fcnchen.test", "info@xn--mnchen-3ya.test", "sales@M\u00dcNCHEN.test", "sales@XN--mnchen-3ya.test",
                    "any@b\u00fccher.test", "any@xn--bcher-kva.test", "x@caf\u00e9.test", "x@xn--caf-dma.test"):
        c.expect(250, "MAIL FROM:<you@elsewhere.test> SMTPUTF8")
        row("Z07", f"one-domain-{address.encode('ascii', 'backslashreplace').decode()}", c.command(f"RCPT TO:<{address}>").startswith("250"))
        c.expect(250, "RSET")
    c.expect(250, "MAIL FROM:<you@elsewhere.test> SMTPUTF8")
    assert c.command("RCPT TO:<nobody@m\u00fcnchen.test>").startswith("550 5.1.1 not in there")
    assert c.command("RCPT TO:<nobody@xn--mnchen-3ya.test>").startswith("550 5.1.1 not in there")


def test_an_address_literal_of_ours(suite):
    suite.routes = '\trewrite "{recipient.local}@example.test" if recipient.domain in ("[127.0.0.1]", "[IPv6:::1]")\n' + suite.routes
    suite.start()
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", ["alice@[127.0.0.1]", "bob@[ipv6:0:0::1]"])
    assert suite.wait_messages("alice@example.test") and suite.wait_messages("bob@example.test")


@pytest.mark.parametrize("word, to", [("alice", "alice@example.test"), ('"bob"', "bob@example.test")])
def test_what_has_no_domain_is_completed(suite, word, to):
    suite.settings += "qualify-domain example.test\nlocal-senders any\n"
    suite.start()
    done = subprocess.run([BIN / "sendmail", "-f", "root", word], input=b"Subject: x\n\nhello\n", capture_output=True, timeout=60,
                          env={"POSTERN_RUNTIME": str(suite.folder / "run"), "PATH": "/usr/bin"})
    assert done.returncode == 0, done.stderr
    (text,) = suite.wait_messages(to)
    assert b"Return-Path: <root@example.test>" in text
    wait_until(lambda: suite.queue() == [], what="an empty queue")
