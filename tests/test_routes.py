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
