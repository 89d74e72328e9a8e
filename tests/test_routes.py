"""The verbs of a route, each from RCPT to where the mail ends; tables of every kind behind it."""

import sqlite3
import shutil

import pytest

from harness import row, wait_until


def stranger(suite):
    c = suite.smtp()
    c.ehlo()
    return c


def rcpt(suite, address, sender="you@elsewhere.test"):
    c = stranger(suite)
    c.expect(250, f"MAIL FROM:<{sender}>")
    got = c.command(f"RCPT TO:<{address}>")
    c.close()
    return got


def readable(suite, path):
    """A table that the postern group may read, and nobody else."""
    path.chmod(0o640)
    if suite.as_root:
        shutil.chown(path, "root", "postern")
    return path


def test_alias_to_several_nested_once_each(suite):
    suite.tables += ("table aliases {\n\tall@example.test: staff@example.test, bob@example.test\n"
                     "\tstaff@example.test: alice@example.test, bob@example.test\n}\n")
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    stranger(suite).message("you@elsewhere.test", ["all@example.test", "bob@example.test"])
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    assert len(suite.messages("alice@example.test")) == 1 and len(suite.messages("bob@example.test")) == 1


def test_alias_loop_is_a_mistake_of_ours(suite):
    """It ends, nothing is sent back to a stranger for it, and the postmaster has the mail."""
    suite.tables += "table aliases {\n\ta@example.test: b@example.test\n\tb@example.test: a@example.test\n}\n"
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    stranger(suite).message("you@elsewhere.test", "a@example.test")
    row("F17", "alias-loop", len(suite.wait_messages("alice@example.test")) == 1)
    wait_until(lambda: suite.queue() == [], what="an empty queue")


def test_alias_that_leaves_is_ours_to_send(suite, next_hop):
    hop = next_hop()
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.tables += "table aliases {\n\tfar@example.test: me@elsewhere.test\n}\n"
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    stranger(suite).message("you@elsewhere.test", "far@example.test")
    assert hop.wait()[0][:2] == ("you@elsewhere.test", ["me@elsewhere.test"])


def test_rewrite(suite):
    suite.routes = '\trewrite "{recipient.local}@example.test" if recipient.domain == "old.test"\n' + suite.routes
    suite.start()
    stranger(suite).message("you@elsewhere.test", "alice@old.test")
    (text,) = suite.wait_messages("alice@example.test")
    assert b"Delivered-To: alice@example.test" in text
    assert rcpt(suite, "nobody@old.test").startswith("550 5.1.1")


def test_hold_and_release(suite):
    suite.routes = '\thold if recipient == "bob@example.test" and sender == "odd@elsewhere.test"\n' + suite.routes
    suite.start()
    c = stranger(suite)
    ident = c.message("odd@elsewhere.test", ["bob@example.test", "alice@example.test"]).split()[-1]
    c.message("you@elsewhere.test", "bob@example.test", "Subject: other\n\nnot held\n")
    suite.wait_messages("bob@example.test")
    (m,) = suite.queue()
    assert (m["id"], m["state"]) == (ident, "hold") and not suite.messages("alice@example.test"), "a message waits as a whole"
    suite.postern("queue", "release", ident)
    assert len(suite.wait_messages("bob@example.test", 2)) == 2
    suite.wait_messages("alice@example.test")


def test_a_route_by_a_field_of_the_header(suite):
    """At RCPT it is not known yet: refused there is only who is refused with any header; the header itself decides at the end of data."""
    suite.policy = 'policy data {\n\tadd-header "X-Marked: here" if sender == "marked@elsewhere.test"\n}\n'
    suite.routes = ('\thold if header "X-Hold" present or header "x-marked" present\n'
                    '\treject "no bulk mail" if recipient == "bob@example.test" and header "X-Bulk" present\n'
                    '\treject "only from robots" if recipient == "robot@example.test" and not header "X-Robot" present\n' + suite.routes)
    suite.start(users=("alice@example.test", "bob@example.test", "robot@example.test"))
    for local, code in (("bob", "250"), ("robot", "250"), ("nobody", "550 5.1.1 no such")):
        assert rcpt(suite, f"{local}@example.test").startswith(code), local
    c = stranger(suite)
    for local, field, words in (("bob", "x-bulk: 1", "550 5.1.1 no bulk mail"), ("robot", "X-Robots: 1", "550 5.1.1 only from robots")):
        c.envelope("you@elsewhere.test", f"{local}@example.test")
        assert c.data(f"{field}\nSubject: x\n\nX-Robot: in the body\n").startswith(words), local
    c.message("you@elsewhere.test", "bob@example.test", "Subject: x\n\nX-Bulk: in the body\n")
    c.message("you@elsewhere.test", "robot@example.test", "X-ROBOT: 1\n\nhello\n")
    suite.wait_messages("bob@example.test")
    suite.wait_messages("robot@example.test")
    c.message("you@elsewhere.test", "alice@example.test", "X-Hold: 1\n\nsmall\n")
    c.message("you@elsewhere.test", "alice@example.test", "X-Hold:\n\n" + "a large one\n" * 9000)
    c.message("marked@elsewhere.test", "alice@example.test", "Subject: x\n\nby what a rule added\n")
    assert [m["state"] for m in suite.queue()] == 3 * ["hold"] and not suite.messages("alice@example.test")
    held = suite.postern("route", "alice@example.test", "--header", "From", "--header", "X-Hold").stdout
    assert ", held for the operator" in held and 'header "x-hold" present: yes' in held
    assert ", held" not in suite.postern("route", "alice@example.test").stdout


def test_discard(suite):
    suite.routes = '\tdiscard if recipient == "noreply@example.test"\n' + suite.routes
    suite.start()
    ident = stranger(suite).message("you@elsewhere.test", "noreply@example.test").split()[-1]
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    suite.wait_log(ident)
    assert not suite.messages("alice@example.test") and not list((suite.folder / "mail").rglob("noreply"))


def test_reject_with_its_own_words(suite):
    suite.routes = '\treject 551 5.1.6 "{recipient.local} moved to example.net" if recipient.local == "carol"\n' + suite.routes
    suite.start()
    assert rcpt(suite, "carol@example.test") == "551 5.1.6 carol moved to example.net"


def test_file_table_is_read_again(suite):
    path = suite.folder / "users" / "aliases"
    path.write_text("# people\ninfo@example.test: alice@example.test\n@catch.test: bob@example.test\n")
    readable(suite, path)
    suite.tables += f'table aliases file "{path}"\n'
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    c = stranger(suite)
    c.message("you@elsewhere.test", "info@example.test")
    suite.wait_messages("alice@example.test")
    c.message("you@elsewhere.test", "whoever@catch.test")
    suite.wait_messages("bob@example.test")
    assert rcpt(suite, "sales@example.test").startswith("550 5.1.1")
    new = path.with_suffix(".new")
    new.write_text("sales@example.test: bob@example.test\n")
    readable(suite, new).rename(path)
    wait_until(lambda: rcpt(suite, "sales@example.test").startswith("250"), what="the new table")
    assert rcpt(suite, "info@example.test").startswith("550 5.1.1")


def test_a_broken_file_leaves_the_old_in_force_and_refuses_a_reload(suite):
    path = suite.folder / "users" / "aliases"
    path.write_text("info@example.test: alice@example.test\n")
    readable(suite, path)
    suite.tables += f'table aliases file "{path}"\n'
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    path.write_text("info@example.test alice@example.test: what\n\0\n")
    done = suite.postern("reload", check=False)
    row("A5", "reload-broken-table", done.returncode != 0 and "aliases" in done.stderr)
    assert rcpt(suite, "info@example.test").startswith("250")


def test_sqlite_table_and_what_an_address_may_do_to_it(suite):
    path = suite.folder / "users" / "directory.db"
    with sqlite3.connect(path) as db:
        db.execute("create table people(address text primary key, target text)")
        db.execute("insert into people values('info@example.test', 'alice@example.test')")
    db.close()
    readable(suite, path)
    suite.tables += f'table people sqlite "{path}" "select target from people where address = ?"\n'
    suite.routes = "\talias people\n" + suite.routes
    suite.start()
    stranger(suite).message("you@elsewhere.test", "info@example.test")
    suite.wait_messages("alice@example.test")
    for local in ("'or'1'='1", "x'--", "a%", "_nfo", 'i\\"', "';drop table people;--"):
        got = rcpt(suite, f'"{local}"@example.test')
        row("S15", f"sqlite-{local}", got.startswith(("550", "553")))
    assert rcpt(suite, "info@example.test").startswith("250")


def test_a_locked_or_missing_database_is_451(suite):
    path = suite.folder / "users" / "directory.db"
    with sqlite3.connect(path) as db:
        db.execute("create table people(address text primary key, target text)")
    db.close()
    readable(suite, path)
    suite.tables += f'table people sqlite "{path}" "select target from people where address = ?"\n'
    suite.routes = "\talias people\n" + suite.routes
    suite.start()
    assert rcpt(suite, "alice@example.test").startswith("250")
    path.rename(path.with_suffix(".away"))
    path.write_text("no database at all, but long enough to be looked at" * 40)
    readable(suite, path)
    wait_until(lambda: rcpt(suite, "alice@example.test").startswith("451"), 70, "a 451")
    suite.wait_log("people")


@pytest.mark.parametrize("stage", ["connect", "rcpt"])
def test_cidr_table(suite, stage):
    path = suite.folder / "users" / "blocked"
    path.write_text("192.0.2.0/24\n127.0.0.0/8\n2001:db8::/32\n")
    readable(suite, path)
    suite.tables += f'table blocked cidr "{path}"\n'
    suite.policy = f'policy {stage} {{\n\treject "blocked: {{client}}" if client in blocked\n}}\n'
    suite.start()
    if stage == "connect":
        c = suite.smtp()
        assert c.greeting.startswith("554") and "blocked: 127.0.0.1" in c.greeting
    else:
        assert rcpt(suite, "alice@example.test") == "550 5.7.1 blocked: 127.0.0.1"


def two_hosts(suite, next_hop):
    work, isp = next_hop(), next_hop()
    suite.transports = (f'transport work {{ smtp "localhost:{work.port}"  tls off  allow-local yes }}\n'
                        f'transport isp {{ smtp "localhost:{isp.port}"  tls off  allow-local yes }}\n')
    return work, isp


def test_two_smarthosts_by_sender(suite, next_hop):
    work, isp = two_hosts(suite, next_hop)
    suite.settings += "trusted 127.0.0.0/8\n"
    suite.routes += '\trelay work if sender.domain == "work.test"\n\trelay isp if sender.domain != "nowhere.test"\n'
    suite.start()
    c = stranger(suite)
    c.message("me@work.test", "you@far.test")
    c.message("me@home.test", "you@far.test")
    assert work.wait()[0][:2] == ("me@work.test", ["you@far.test"])
    assert isp.wait()[0][:2] == ("me@home.test", ["you@far.test"])
    assert len(work.messages) == 1 and len(isp.messages) == 1


def test_two_smarthosts_by_login(suite, next_hop):
    work, isp = two_hosts(suite, next_hop)
    suite.routes += '\trelay work if login == "bob@example.test"\n\trelay isp if authenticated\n'
    suite.start()
    for user in ("alice@example.test", "bob@example.test"):
        c = suite.login(user)
        c.message(user, "you@far.test", f"From: {user}\nSubject: x\n\nhello\n")
    assert work.wait()[0][:2] == ("bob@example.test", ["you@far.test"])
    assert isp.wait()[0][:2] == ("alice@example.test", ["you@far.test"])
    assert rcpt(suite, "you@far.test").startswith("550 5.7.1"), "and nobody else"


def test_a_listener_has_its_own_route(suite):
    suite.listeners = suite.listeners.replace("role mx ", "role mx  name front ")
    suite.routes = '\treject "not by this door" if listener.name == "front" and recipient.local == "bob"\n' + suite.routes
    suite.start()
    assert rcpt(suite, "bob@example.test").startswith("550 5.1.1 not by this door")
    suite.login().message("alice@example.test", "bob@example.test", "From: alice@example.test\n\nhello\n")
    suite.wait_messages("bob@example.test")


def test_sub_addresses(suite):
    suite.settings += 'sub-address "+-"\n'
    suite.tables += "table aliases {\n\tinfo@example.test: alice\n\tinfo+bob@example.test: bob\n}\n"
    suite.routes = '\talias aliases\n\trewrite "{recipient.base}" if recipient.base in our_users\n' + suite.routes
    suite.start()
    c = stranger(suite)
    for address in ("alice+lists@example.test", "info-x@example.test"):
        c.message("you@elsewhere.test", address)
    assert len(suite.wait_messages("alice@example.test", 2)) == 2
    c.message("you@elsewhere.test", "info+bob@example.test")
    suite.wait_messages("bob@example.test")
    assert rcpt(suite, "nobody+alice@example.test").startswith("550 5.1.1")
    assert rcpt(suite, "+alice@example.test").startswith("550 5.1.1")


def test_what_an_alias_may_say(suite):
    suite.tables += ("table aliases {\n\told@example.test: \":fail: {recipient} moved to example.net\"\n"
                     "\tlate@example.test: \":defer: ask again on Monday\"\n\thole@example.test: \":blackhole:\"\n"
                     "\tsome@example.test: \"/dev/null, alice\"\n\trun@example.test: \"\\\"|/usr/bin/id\\\"\"\n"
                     "\tsave@example.test: /tmp/saved\n}\n")
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    assert rcpt(suite, "old@example.test") == "550 5.1.1 {recipient} moved to example.net"
    assert rcpt(suite, "late@example.test") == "451 4.3.0 ask again on Monday"
    c = stranger(suite)
    c.message("you@elsewhere.test", ["hole@example.test", "some@example.test"])
    suite.wait_messages("alice@example.test")
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    for address in ("run@example.test", "save@example.test"):
        row("O01", f"no-programs-{address}", rcpt(suite, address).startswith("451"))


def test_copy(suite, next_hop):
    hop = next_hop()
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.routes = ('\tcopy "archive@elsewhere.test" if recipient.domain in our_domains\n'
                    '\tcopy "bob@example.test" if recipient == "alice@example.test" or recipient == "bob@example.test"\n'
                    '\tcopy "spy@{sender.domain}" if recipient == "open@example.test"\n' + suite.routes)
    suite.start(users=("alice@example.test", "bob@example.test", "open@example.test"))
    stranger(suite).message("you@elsewhere.test", "alice@example.test")
    suite.wait_messages("alice@example.test")
    assert len(suite.wait_messages("bob@example.test")) == 1
    assert hop.wait()[0][1] == ["archive@elsewhere.test"]
    assert rcpt(suite, "nobody@example.test").startswith("550 5.1.1"), "a copy makes nobody exist"
    row("H08", "copy-to-where-a-stranger-says", rcpt(suite, "open@example.test", "you@far.test").startswith("550 5.7.1"))


def test_backup_mx_with_a_recipient_table_and_nothing_is_written(suite, next_hop):
    """Only whom the table names is taken for the other host; asking writes nothing, whatever the answer is."""
    hop = next_hop()
    path = suite.folder / "users" / "backup"
    path.write_text("carol@partner.test\n@whole.test\n")
    readable(suite, path)
    suite.tables += f'table backup_recipients file "{path}"\n'
    suite.transports = f'transport primary {{ smtp "localhost:{hop.port}"  tls off  allow-local yes }}\n'
    suite.routes += "\trelay primary as relay-domain if recipient in backup_recipients\n"
    suite.start()
    files = sorted(p for p in (suite.folder / "spool").rglob("*") if p.is_file())
    table = path.stat().st_mtime_ns
    for address, code in (("carol@partner.test", "250"), ("anybody@whole.test", "250"), ("dave@partner.test", "550 5.7.1"),
                          ("x@other.test", "550 5.7.1")):
        assert rcpt(suite, address).startswith(code), address
    assert sorted(p for p in (suite.folder / "spool").rglob("*") if p.is_file()) == files and path.stat().st_mtime_ns == table
    assert suite.queue() == []
    stranger(suite).message("you@elsewhere.test", "carol@partner.test")
    assert hop.wait()[0][:2] == ("you@elsewhere.test", ["carol@partner.test"])
    path.unlink()
    wait_until(lambda: rcpt(suite, "carol@partner.test").startswith("451"), what="a table that is gone")
    assert rcpt(suite, "alice@example.test").startswith("250")


def test_queue_only_waits_for_the_operator(suite, next_hop):
    """A dial-up host: what leaves waits through a restart and is not tried; what is for here is delivered; a flush lets it go."""
    hop = next_hop()
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.settings += "trusted 127.0.0.0/8\n"
    suite.routes += "\tqueue-only\n"
    suite.start()
    c = stranger(suite)
    ident = c.message("me@example.test", ["far@elsewhere.test", "alice@example.test"]).split()[-1]
    other = c.message("me@example.test", "further@elsewhere.test").split()[-1]
    suite.wait_messages("alice@example.test")

    def waiting():
        rows = [m for m in suite.queue() if m["state"] == "waiting" and "queue flush" in m["last"]]
        return sorted(rows, key=lambda m: m["id"]) if len(rows) == 2 else None
    before = wait_until(waiting, what="both in the queue")
    assert [m["id"] for m in before] == sorted([ident, other]) and [m["tries"] for m in before] == [0, 0]
    suite.stop()
    suite.start(users=())
    assert wait_until(waiting, what="both after a restart") and not hop.messages
    suite.postern("queue", "retry", other)
    assert hop.wait()[0][1] == ["further@elsewhere.test"]
    wait_until(lambda: [m["id"] for m in suite.queue()] == [ident], what="the other one in the queue")
    suite.postern("queue", "flush")
    assert hop.wait(2)[1][1] == ["far@elsewhere.test"]
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    stranger(suite).message("me@example.test", "late@elsewhere.test")
    wait_until(lambda: [m for m in suite.queue() if "queue flush" in m["last"]], what="a later one in the queue")
    assert len(hop.messages) == 2, "a flush lets go what was there"


def test_queue_only_mail_is_not_returned_for_its_age(suite, next_hop):
    hop = next_hop()
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.settings += "trusted 127.0.0.0/8\nretry { every 1s until 2s }\n"
    suite.tables += "table dead { x@elsewhere.test }\n"
    suite.transports = f'transport nobody {{ smtp "localhost:{hop.port}"  tls off  allow-local yes }}\n'
    suite.routes += '\tqueue-only if recipient == "kept@elsewhere.test"\n'
    suite.start()
    hop.close()
    stranger(suite).message("alice@example.test", ["kept@elsewhere.test", "lost@elsewhere.test"])
    (report,) = suite.wait_messages("alice@example.test", seconds=40)
    assert b"lost@elsewhere.test" in report and b"kept@elsewhere.test" not in report
    (m,) = suite.queue()
    assert m["recipients"] == "kept@elsewhere.test"


@pytest.mark.root
def test_programs_and_files_of_a_system_alias(suite, tmp_path):
    """As the user that the transport says, with the words that the table says, whoever sends and whatever he writes into an address."""
    tmp_path.chmod(0o755)
    box = tmp_path / "box"
    box.mkdir()
    shutil.chown(box, "postern-mail", "postern-mail")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{{ id -un; printf '%s\\n' \"$@\"; cat; }} > {box}/$$.got\n")
    program.chmod(0o755)
    path = suite.folder / "users" / "aliases"
    path.write_text(f'robot: "|{program} one \\"two three\\" ;id $(id) {{recipient}} %s", alice@example.test\n'
                    f"log: {box}/log, bob@example.test\nboth: robot, log\n")
    readable(suite, path)
    suite.settings += 'sub-address "+"\n'
    suite.tables += f'table aliases file "{path}"\n'
    suite.transports = "transport scripts { pipe  user postern-mail }\n"
    suite.routes = "\talias aliases programs scripts\n" + suite.routes
    suite.start()
    c = stranger(suite)
    c.message("you@elsewhere.test", "robot+$id@example.test", "Subject: x\n\nhello\n")
    got = wait_until(lambda: [p.read_text() for p in box.glob("*.got") if "hello" in p.read_text()], what="the program's file")[0].splitlines()
    row("O01", "words-of-an-alias", got[:7] == ["postern-mail", "one", "two three", ";id", "$(id)", "{recipient}", "%s"])
    suite.wait_messages("alice@example.test")
    c.message("you@elsewhere.test", "log@example.test", "Subject: y\n\nto a file\n")
    wait_until(lambda: (box / "log").exists() and "to a file" in (box / "log").read_text(), what="the file")
    suite.wait_messages("bob@example.test")
    c.message("you@elsewhere.test", "both@example.test", "Subject: z\n\nto both\n")
    wait_until(lambda: "to both" in (box / "log").read_text() and [p for p in box.glob("*.got") if "to both" in p.read_text()], what="both")
    for local in ('"|/bin/touch /tmp/owned"', '"/etc/passwd"', '":include:/etc/shadow"', '"\\\\alice"', '";id;"', "|id", "-oQ/tmp"):
        row("O01", f"recipient-{local}", rcpt(suite, f"{local}@example.test")[:3] in ("550", "553", "501"))
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    shown = suite.postern("route", "robot@example.test").stdout
    assert f"--> scripts scripts, as user postern-mail, pipe {program} one two three ;id $(id) {{recipient}} %s" in shown


@pytest.mark.root
def test_is_user_asks_the_system(suite):
    """In a policy and in a route; authd that is not there is 451 and never a no."""
    suite.settings += 'sub-address "+"\n'
    suite.policy = 'policy rcpt {\n\treject "no mail for users" if recipient.is-user and recipient.domain == "users.test"\n}\n'
    suite.routes = ('\treject "a user" if recipient.is-user and recipient.domain == "mx.example.test"\n'
                    '\treject "nobody of that name" if recipient.domain in ("mx.example.test", "users.test")\n' + suite.routes)
    suite.start()
    for address, words in (("nobody@mx.example.test", "a user"), ("nobody+tag@mx.example.test", "a user"),
                           ("nosuchuser@mx.example.test", "nobody of that name"), ("root@mx.example.test", "nobody of that name"),
                           ("nobody@users.test", "no mail for users"), ("nosuchuser@users.test", "nobody of that name")):
        assert words in rcpt(suite, address), address
    assert "recipient.is-user: yes (yes)" in suite.postern("route", "nobody@mx.example.test", check=False).stdout


METAS = ["${run{id}}", "{recipient}", "{{recipient}}", "{sender.domain}", "%-5", "`id`", "$id", "${id}", "'x'", "*", "a{b", "a}b", "if=x", "x#y"]


def test_what_tables_hold_is_text_all_the_way(suite, next_hop):
    """Our own meta-syntax, and others', as keys and values of an alias table: what goes out, what is logged and shown is what stood there."""
    hop = next_hop()
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    path = suite.folder / "users" / "aliases"
    path.write_text("".join(f'"k{m}@example.test": "{m}@elsewhere.test"\n' for m in METAS))
    readable(suite, path)
    suite.tables += f'table aliases file "{path}"\n'
    suite.routes = ('\talias aliases\n\trewrite "w{recipient.local}@elsewhere.test" if recipient.domain == "old.test"\n'
                    '\treject "no {recipient} here" if recipient.domain == "said.test"\n' + suite.routes)
    suite.settings += "trusted 127.0.0.0/8\n"
    suite.start()
    c = stranger(suite)
    for m in METAS:
        c.message("you@elsewhere.test", f"k{m}@example.test")
        c.message("you@elsewhere.test", f"{m}@old.test")
    sent = sorted(r for _, rcpts, *_ in hop.wait(2 * len(METAS), seconds=60) for r in rcpts)
    assert sent == sorted([f"{m}@elsewhere.test" for m in METAS] + [f"w{m}@elsewhere.test" for m in METAS])
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    log = suite.log()
    for m in METAS:
        row("E09", f"alias-{m}", f"recipient={m}@elsewhere.test" in log or f'recipient="{m}@elsewhere.test"' in log)
        row("E09", f"reply-{m}", rcpt(suite, f"{m}@said.test") == f"550 5.1.1 no {m}@said.test here")
        shown = suite.postern("route", f"k{m}@example.test").stdout
        row("E09", f"shown-{m}", f': "{m}@elsewhere.test"\n' in shown and f"\n  {m}@elsewhere.test  (from " in shown)
