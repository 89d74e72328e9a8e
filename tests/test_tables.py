"""Tables of every kind: what they answer, that a change counts at once, and what keys and files from an attacker may not do."""

import json
import os
import pathlib
import sqlite3

from harness import row, wait_until
from test_routes import rcpt, readable, stranger


def folder(suite, name):
    """A folder of tables that the postern group may read."""
    path = suite.folder / "users" / name
    path.mkdir()
    path.chmod(0o755)
    return path


def put(suite, path, text):
    """As `mv` does."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    readable(suite, new).rename(path)


def test_a_file_for_each_domain(suite):
    virtual, lists = folder(suite, "virtual"), folder(suite, "lists")
    put(suite, virtual / "one.test", "info: alice@example.test\n*: bob@example.test\n")
    put(suite, lists / "staff", "# all of them\nalice@example.test\nbob@example.test\n")
    suite.tables += f'table virtual directory "{virtual}" include "{lists}"\n'
    suite.policy = 'policy rcpt {\n\treject "not ours" if recipient.domain not in virtual \n}\n'
    suite.routes = "\talias virtual\n" + suite.routes
    suite.start()
    c = stranger(suite)
    c.message("you@elsewhere.test", "info@one.test")
    suite.wait_messages("alice@example.test")
    c.message("you@elsewhere.test", "whoever@one.test")
    suite.wait_messages("bob@example.test")
    assert "not ours" in rcpt(suite, "info@two.test")
    put(suite, virtual / "two.test", f"all: :include:{lists}/staff\n")
    assert rcpt(suite, "all@two.test").startswith("250")
    c.message("you@elsewhere.test", "all@two.test")
    suite.wait_messages("alice@example.test", 2)
    suite.wait_messages("bob@example.test", 2)
    assert rcpt(suite, "nobody@two.test").startswith("550")
    put(suite, virtual / "two.test", "all: nobody knows: what\n\0")
    put(suite, virtual / "three.test", "a: b\na: c\n")
    assert rcpt(suite, "a@three.test").startswith("451") and rcpt(suite, "info@one.test").startswith("250")
    assert rcpt(suite, "all@two.test").startswith("250")  # as it was
    (virtual / "two.test").unlink()
    assert "not ours" in rcpt(suite, "all@two.test")
    for name in ("[127.0.0.1]", "x.new", "..test", "-"):
        assert not rcpt(suite, f"info@{name}").startswith("250"), name


def test_includes_in_circles_and_through_links(suite):
    """Our mistake, so the recipient waits; nothing is left out in silence, and the next mail is taken."""
    lists = folder(suite, "lists")
    put(suite, lists / "aliases", "\n".join([
        "good: alice@example.test,", "\tbob@example.test", f"self: :include:{lists}/self", f"link: :include:{lists}/link",
        f"out: :include:{lists}/../passwd", f"deep: :include:{lists}/d0", f"prog: :include:{lists}/prog", ""]))
    put(suite, lists / "self", f"alice@example.test\n:include:{lists}/self\n")
    put(suite, lists / "prog", "alice@example.test\n|/bin/sh\n")
    (lists / "link").symlink_to("self")
    for i in range(1000):
        put(suite, lists / f"d{i}", f"alice@example.test, :include:{lists}/d{i + 1}\n")
    suite.tables += f'table aliases file "{lists / "aliases"}"\n'
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    fds = pathlib.Path(f"/proc/{suite.pids('policyd')[0]}/fd")
    before = len(list(fds.iterdir()))
    for local in ("self", "link", "out", "deep", "prog"):
        for _ in range(20):
            got = rcpt(suite, f"{local}@example.test")
        row("F17", f"include-{local}", got.startswith("451"))
    row("F17", "include-descriptors", len(list(fds.iterdir())) <= before + 2)
    assert "includes itself" in suite.log() and "too deep" in suite.log()
    stranger(suite).message("you@elsewhere.test", "good@example.test")
    suite.wait_messages("bob@example.test")


def test_patterns(suite):
    path = suite.folder / "users" / "patterns"
    put(suite, path, "/^(.+)@old[.]test$/ $1@example.test\n/^meta@/ $$(id)@example.test\n/^(a+)+@b$/ slow@example.test\n"
                     "/^\"(.*)\"@quoted[.]test$/ $1@example.test\n")
    suite.tables += f'table patterns pcre2 "{path}"\n'
    suite.routes = "\talias patterns\n" + suite.routes
    suite.start()
    stranger(suite).message("you@elsewhere.test", "Alice@old.test")
    suite.wait_messages("alice@example.test")
    assert rcpt(suite, "alice@other.test").startswith("550")
    row("M03", "evaluated", rcpt(suite, "meta@example.test")[:3] in ("451", "550"))
    row("M03", "a-group-that-is-a-list", rcpt(suite, '"alice,bob"@quoted.test').startswith("451"))
    put(suite, path, "/(/ broken\n")
    assert suite.postern("reload", check=False).returncode != 0
    assert rcpt(suite, "alice@old.test").startswith("250")


def test_keys_that_are_sql(suite):
    path = suite.folder / "users" / "people.db"
    with sqlite3.connect(path) as db:
        db.execute("create table people(address text primary key, target text)")
        db.execute("insert into people values('listed.example', 'yes')")
    db.close()
    readable(suite, path)
    suite.tables += f'table people sqlite "{path}" "select target from people where address = ?"\n'
    suite.policy = 'policy helo {\n\treject "listed" if helo.name in people\n}\n'
    suite.start()
    for key in ("' or 1=1--", "x'||(select", ";attach", "%", "_", "listed.example' --", "\xff"):
        c = suite.smtp()
        row("M01", f"sqlite-{key.encode()!r}", "listed" not in c.command(f"HELO {key}"))
        c.close()
    row("M01", "sqlite-is-asked", "listed" in suite.smtp().command("HELO listed.example"))


def test_a_database_from_an_attacker(suite):
    """Whatever the file is: 451, and all else goes on."""
    path = suite.folder / "users" / "people.db"
    suite.tables += f'table people sqlite "{path}" "select target from people where address = ?"\n'
    suite.routes = '\tdeliver mailboxes if recipient == "bob@example.test"\n\talias people\n' + suite.routes
    schemas = [("view", "create view people as select 'alice@example.test' as address, load_extension('/x') as target"),
               ("huge", "create view people as select 'alice@example.test' as address, zeroblob(900000000) as target"),
               ("endless", "create view people as with recursive n(i) as (select 1 union all select i + 1 from n) "
                           "select 'alice@example.test' as address, count(*) as target from n")]
    files = []
    for name, schema in schemas:
        made = path.with_name(name)
        db = sqlite3.connect(made)
        db.execute(schema)
        db.commit()
        db.close()
        files.append((name, made.read_bytes()))
    good = path.with_name("good")
    db = sqlite3.connect(good)
    db.execute("create table people(address text primary key, target text)")
    db.executemany("insert into people values(?, ?)", ((f"a{i}", "x" * 50) for i in range(3000)))
    db.commit()
    db.close()
    whole = good.read_bytes()
    files += [("cut", whole[:5000]), ("noise", whole[:4096] + os.urandom(len(whole) - 4096)), ("empty", b"")]
    readable(suite, good).rename(path)
    suite.start()
    assert rcpt(suite, "alice@example.test").startswith("250")
    for name, data in files:
        new = path.with_name("new")
        new.write_bytes(data)
        readable(suite, new).rename(path)
        wait_until(lambda: rcpt(suite, "alice@example.test").startswith("451"), 30, f"451 with {name}")
        row("M02", f"sqlite-{name}", rcpt(suite, "bob@example.test").startswith("250"))


def test_the_operator_asks_a_table(suite):
    virtual = folder(suite, "virtual")
    aliases = suite.folder / "users" / "aliases"
    put(suite, virtual / "one.test", "# people\ninfo: alice@example.test\n")
    put(suite, virtual / "bad.test", "a: b\na: c\n")
    put(suite, aliases, f"info: bob@example.test\n@catch.test: x\nlist: :include:{aliases.parent}/gone\n\"odd: key\": yes\n")
    suite.tables += f'table virtual directory "{virtual}"\ntable aliases file "{aliases}"\n'
    suite.start()

    def ask(name, key):
        return [(r["use"], r["answer"], r["value"], r["where"].removeprefix(str(suite.folder / "users")), r["why"])
                for r in json.loads(suite.postern("table", "test", name, key, "--json").stdout)]

    assert ask("our_domains", "Example.test") == [("in", "yes", "", f"postern.conf:{line_of(suite, 'our_domains')}", "")]
    assert ask("our_domains", "other.test") == [("in", "no", "", "", "")]
    assert ask("aliases", "info@x.test") == [("in", "no", "", "", ""), ("alias", "yes", "bob@example.test", "/aliases:1", "")]
    assert ask("aliases", "a@catch.test") == [("in", "yes", "x", "/aliases:2", ""), ("alias", "yes", "x", "/aliases:2", "")]
    assert ask("aliases", "odd: key") == [("in", "yes", "yes", "/aliases:4", "")]
    use, answer, value, where, why = ask("aliases", "list@x.test")[1]
    assert (answer, value) == ("unknown", f":include:{aliases.parent}/gone") and why.endswith("No such file or directory")
    assert ask("virtual", "one.test") == [("in", "yes", "", "/virtual/one.test", "")]
    assert ask("virtual", "info@one.test")[1] == ("alias", "yes", "alice@example.test", "/virtual/one.test:2", "")
    assert ask("virtual", "a@bad.test")[1] == ("alias", "unknown", "", "", 'bad.test:2: the key "a" stood in line 1 already')
    assert ask("our_users", "alice@example.test")[0] == ("in", "yes", "alice@example.test", "select address from users where address = ?", "")
    text = suite.postern("table", "test", "aliases", "info@x.test").stdout
    assert "answer: yes" in text and "took: " in text and "where: " in text
    assert suite.postern("table", "test", "nothing", "x", check=False).returncode == 1
    assert "no table" in suite.postern("table", "test", "nothing", "x", check=False).stderr
    assert suite.postern("table", "test", "aliases", check=False).returncode == 64


def line_of(suite, name):
    return next(n for n, line in enumerate(suite.conf_path.read_text().splitlines(), 1) if line.startswith(f"table {name} "))
