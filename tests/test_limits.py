"""Every wait, count and size has a bound and a reply."""

from harness import Smtp, row, wait_until


def test_connections_of_one_host(suite):
    suite.settings += "connections_per_host 3\n"
    suite.start()
    held = [suite.smtp() for _ in range(3)]
    fourth = suite.smtp()
    row("R02", "per-host", fourth.greeting.startswith("421") and fourth.closed())
    held[0].expect(221, "QUIT")
    held[0].close()

    def again():
        c = suite.smtp()
        ok = c.greeting.startswith("220")
        c.close()
        return ok
    wait_until(again, what="room again")


def test_connections_of_one_network(suite):
    suite.settings += "connections_per_net 3\n"
    suite.start()
    held = [suite.smtp(source=f"127.0.7.{n}") for n in (1, 2, 3)]
    fourth = suite.smtp(source="127.0.7.4")
    row("R02", "per-network", fourth.greeting.startswith("421") and fourth.closed())
    other = suite.smtp(source="127.0.8.4")
    row("R02", "of-another-network", other.greeting.startswith("220") and all(c.command("NOOP").startswith("250") for c in held))


def test_connections_in_all(suite):
    suite.settings += "connections_max 4\n"
    suite.start()
    held = [suite.smtp(source=f"127.0.{n}.1") for n in (1, 2, 3, 4)]
    fifth = suite.smtp(source="127.0.5.1")
    row("R02", "in-all", fifth.greeting.startswith("421") and fifth.closed() and all(c.command("NOOP").startswith("250") for c in held))


def test_recipients(suite):
    suite.settings += "recipients_max 5\n"
    suite.start()
    c = suite.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    c.send("RCPT TO:<alice@example.test>\r\n" * 200)
    replies = [c.reply() for _ in range(200)]
    row("N12", "452", all(r.startswith("250") for r in replies[:5]) and all(r.startswith("452 4.5.3") for r in replies[5:]))
    assert c.data("Subject: x\n\nx\n").startswith("250")
    assert len(suite.wait_messages("alice@example.test")) == 1, "one recipient named five times gets one copy"


def test_size(suite):
    suite.settings += "message_size_max 100K\n"
    suite.start()
    c = suite.smtp()
    c.ehlo()
    assert c.command("MAIL FROM:<you@elsewhere.test> SIZE=200000").startswith("552 5.3.4")
    c.envelope("you@elsewhere.test", "alice@example.test")
    assert c.data("Subject: x\n\n" + ("x" * 70 + "\n") * 3000).startswith("552 5.3.4")
    c.expect(503, "RCPT TO:<alice@example.test>")
    c.message("you@elsewhere.test", "alice@example.test")


def test_errors(suite):
    suite.settings += "errors_max 5\n"
    suite.start()
    c = suite.smtp()
    replies = []
    c.send("WHAT\r\n" * 10)
    try:
        while True:
            replies.append(c.reply())
    except ConnectionError:
        pass
    assert replies[-1].startswith("421") and len(replies) <= 7, replies


def test_idle(suite):
    suite.settings += "idle_timeout 1s\n"
    suite.start()
    c = suite.smtp()
    assert c.reply().startswith("421 4.4.2") and c.closed()


def test_logins(suite):
    suite.settings += "auth_attempts_max 2\n"
    suite.start()
    c = suite.smtp(suite.submissions, tls=True)
    c.ehlo()
    c.auth_plain("alice@example.test", "wrong", 535)
    got = c.command("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3cm9uZw==")
    assert got.startswith(("535", "421"))
    try:
        assert c.command("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3cm9uZw==").startswith("421")
    except ConnectionError:
        pass


def test_a_command_without_end(running):
    c = running.smtp()
    total, said = 0, b""
    c.socket.settimeout(20)
    try:
        for _ in range(200):
            c.send(b"x" * 65536)
            total += 65536
    except OSError:
        pass
    row("F11", "endless-command", total < 200 * 65536)
    running.smtp().ehlo()


def test_many_received_lines_are_a_loop(running):
    c = running.smtp()
    c.ehlo()
    c.envelope("you@elsewhere.test", "alice@example.test")
    got = c.data("Received: by x\n" * 60 + "Subject: x\n\nx\n")
    row("H05", "received", got.startswith("554 5.4.6"))


def test_slow_clients_delay_nobody(suite):
    import socket
    import time
    suite.settings += "connections_per_host 1000\nconnections_per_net 1000\n"
    suite.start()
    slow = [socket.create_connection(("127.0.0.1", suite.mx)) for _ in range(400)]
    for s in slow:
        s.sendall(b"E")
    began = time.monotonic()
    c = Smtp(suite.mx)
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    row("R01", "idle-clients", time.monotonic() - began < 15)  # who waited for one of them would wait for minutes
    for s in slow:
        s.close()
