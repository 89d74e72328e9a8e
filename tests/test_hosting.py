"""Virtual hosting: a domain or a user is one command, which counts at once, and one command takes it back."""

import base64
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess

import pytest

from harness import system_user, wait_until
from test_delivery import files, last_of, send
from test_relay import certified  # noqa: F401
from test_routes import rcpt, readable
from test_tables import folder

HOSTILE = ["", "../users", "a/b.test", "/etc/passwd", ".", "..", ".hidden.test", "[127.0.0.1]", "a b.test", "a\nb.test", "-x.test", "x..test",
           "x.test/", "\x7f.test", "a@b.test", "x" * 300 + ".test", "\u202e.test"]


def in_folder(suite):
    kept = folder(suite, "virtual")
    if suite.as_root:
        shutil.chown(kept, "root", "postern")
    kept.chmod(0o750)
    return kept, f'table virtual directory "{kept}"\n'


def in_database(suite):
    kept = suite.folder / "users" / "domains.db"
    return kept, f'table virtual sqlite "{kept}" "select name from domains where name = ? and removed is null"\n'


@pytest.fixture(params=[in_folder, in_database], ids=["directory", "sqlite"])
def hosting(suite, request):
    suite.kept, table = request.param(suite)
    suite.tables += table
    suite.settings += "domains virtual\n"
    suite.policy = 'policy rcpt {\n\treject "not ours" if recipient.domain not in virtual \n}\n'
    return suite


def domain(suite, *words, check=True):
    return suite.postern("domain", *words, check=check)


def listed(suite):
    return {d["domain"]: d["state"] for d in json.loads(suite.postern("domain", "list", "--json").stdout)}


def test_a_domain_counts_at_once_and_comes_back(hosting):
    hosting.write_conf()
    domain(hosting, "add", "other.test")
    hosting.start(users=("alice@example.test", "info@new.test"))
    assert "not ours" in rcpt(hosting, "info@new.test")
    domain(hosting, "add", "NEW.test")
    assert rcpt(hosting, "info@new.test").startswith("250")
    assert domain(hosting, "add", "new.test", check=False).returncode == 1
    domain(hosting, "remove", "new.test")
    assert "not ours" in rcpt(hosting, "info@new.test")
    assert listed(hosting) == {"new.test": "removed", "other.test": "served"}
    for words, why in ((("add", "new.test"), "restore"), (("remove", "new.test"), "removed already"), (("remove", "no.test"), "no such domain"),
                       (("restore", "other.test"), "not removed"), (("show", "no.test"), "no such domain")):
        refused = domain(hosting, *words, check=False)
        assert refused.returncode == 1 and why in refused.stderr
    domain(hosting, "restore", "new.test")
    assert rcpt(hosting, "info@new.test").startswith("250")
    shown, = json.loads(hosting.postern("domain", "show", "new.test", "--json").stdout)
    assert shown["users"] == 1 and shown["state"] == "served" and shown["table"] == "virtual" and shown["created"] > 0
    assert shown["kind"] == ("sqlite" if hosting.kept.is_file() else "directory")
    assert ("aliases" in shown) == hosting.kept.is_dir()
    assert "SERVED" not in hosting.postern("domain", "list").stdout and "served" in hosting.postern("domain", "list").stdout


@pytest.fixture
def owned(suite, tmp_path):
    """Two domains, each with a user of its own, and one without."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    suite.boxes, suite.owners = suite.folder / "boxes", suite.folder / "users" / "owners.db"
    suite.boxes.mkdir()
    suite.boxes.chmod(0o711)
    suite.settings += "domains virtual\n"
    suite.tables += in_database(suite)[1] + f'table owners sqlite "{suite.owners}" "select user from owners where address = ?"\n'
    suite.routes = "\tdeliver boxes if recipient.domain in virtual\n" + suite.routes
    suite.transports = f'transport boxes {{ maildir "{suite.boxes}/{{domain}}/{{local}}/"  user by owners  forward "~/.forward"  programs yes }}\n'
    suite.write_conf()
    with contextlib.ExitStack() as made:
        suite.a, suite.b = (made.enter_context(system_user(f"postern{c}{os.getpid()}", "--no-create-home", "--home-dir", "/nonexistent/postern-test", "--user-group",
                                                           "--shell", "/usr/sbin/nologin")) for c in "vw")
        domain(suite, "add", "a.test", "--user", suite.a.pw_name)
        domain(suite, "add", "b.test", "--user", suite.b.pw_name)
        domain(suite, "add", "c.test")
        yield suite
        suite.stop()  # its workers are these users


def as_user(user, *words):
    done = subprocess.run(["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", *words], capture_output=True,
                          text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def shown_user(suite, name):
    shown, = json.loads(domain(suite, "show", name, "--json").stdout)
    return shown["user"], shown["user_by"]


def set_owner(suite, name, user):
    with sqlite3.connect(suite.owners) as db:
        db.execute("UPDATE owners SET user = ? WHERE address = ?", (user, f"@{name}"))


def arrives(suite, name, local, count=1):
    new = suite.boxes / name / local / "new"
    wait_until(lambda: len(files(new)) == count, what=f"mail for {local}@{name}")
    return files(new)


@pytest.mark.root
def test_a_user_for_each_domain(owned):
    """Without a transport for each: a table says as whom, and plain permissions keep one domain's user from another's mail."""
    assert shown_user(owned, "a.test") == (owned.a.pw_name, "table owners, by its domain")
    assert shown_user(owned, "c.test") == ("nobody", "not in table owners: its mail waits")
    for user, why in (("root", "never delivered as root"), ("daemon", "below system-uid-min"), ("no-such-user", "no such user"), ("../x", "no such user")):
        refused = domain(owned, "add", "d.test", "--user", user, check=False)
        assert refused.returncode == 1 and why in refused.stderr, refused
    assert domain(owned, "add", "a.test", "--user", owned.b.pw_name, check=False).returncode == 1
    assert domain(owned, "user", "no.test", owned.a.pw_name, check=False).returncode == 1
    assert shown_user(owned, "a.test")[0] == owned.a.pw_name and "d.test" not in listed(owned)
    assert sorted(f.name for f in owned.boxes.iterdir()) == ["a.test", "b.test"]
    owned.start()
    for name, user, other in (("a.test", owned.a, owned.b), ("b.test", owned.b, owned.a)):
        send(owned, f"bob@{name}")
        path, = arrives(owned, name, "bob")
        found = [owned.boxes / name, *(owned.boxes / name).rglob("*")]
        own = all((f.stat().st_uid, f.stat().st_gid) == (user.pw_uid, user.pw_gid) and f.stat().st_mode & 0o077 == 0 for f in found)
        told = [as_user(other, *words)[0] for words in (["cat", path], ["ls", path.parent], ["touch", owned.boxes / name / "x"], ["rmdir", owned.boxes / name])]
        assert own and as_user(user, "cat", path)[0] == 0 and 0 not in told, (name, told)
    # What its owner's file says is done as that user.
    carl = owned.boxes / "a.test" / "carl"
    carl.mkdir(mode=0o700)
    (carl / ".forward").write_text(f"|/usr/bin/touch {owned.boxes}/a.test/ran\n")
    for path in (carl, carl / ".forward"):
        os.chown(path, owned.a.pw_uid, owned.a.pw_gid)
    (carl / ".forward").chmod(0o600)
    send(owned, "carl@a.test")
    ran = owned.boxes / "a.test" / "ran"
    wait_until(ran.exists, what="a program")
    assert ran.stat().st_uid == owned.a.pw_uid
    assert f"as user {owned.a.pw_name} (table owners)" in owned.postern("route", "bob@a.test").stdout
    # No entry, and then one.
    send(owned, "bob@c.test")
    last_of(owned, "no table says as which user")
    owned.wait_log(r"mailbox-user-unknown .*no entry")
    assert "as user nobody (table owners: the table has no entry for it; its mail waits)" in owned.postern("route", "bob@c.test").stdout
    domain(owned, "user", "c.test", owned.a.pw_name)
    owned.postern("queue", "retry", "all")
    path, = arrives(owned, "c.test", "bob")
    assert path.stat().st_uid == owned.a.pw_uid
    domain(owned, "remove", "a.test")
    domain(owned, "restore", "a.test")
    assert shown_user(owned, "a.test")[0] == owned.a.pw_name
    # What is wrong waits, says so, and is mended.
    assert "chown" in domain(owned, "user", "a.test", owned.b.pw_name, check=False).stderr
    for value, said in ((owned.b.pw_name, f"a.test belongs to uid {owned.a.pw_uid}"), ("no-such-user", "the user that the table names"),
                        ("root", "the user that the table names"), ("a b", "as which user it is delivered")):
        set_owner(owned, "a.test", value)
        send(owned, "bob@a.test")
        last_of(owned, said)
    assert len(files(owned.boxes / "a.test" / "bob" / "new")) == 1
    set_owner(owned, "a.test", owned.a.pw_name)
    owned.postern("queue", "retry", "all")
    arrives(owned, "a.test", "bob", 5)
    good = owned.owners.read_bytes()
    owned.owners.write_bytes(b"no database" * 1000)
    send(owned, "bob@b.test")
    last_of(owned, "as which user it is delivered")
    owned.owners.write_bytes(good)
    wait_until(lambda: f"as user {owned.b.pw_name} (table owners)" in owned.postern("route", "bob@b.test").stdout, what="the table again")
    owned.postern("queue", "retry", "all")
    arrives(owned, "b.test", "bob", 2)


def test_one_domain_however_it_is_written(hosting):
    hosting.start(users=("alice@example.test", "x@xn--bcher-kva.test"))
    domain(hosting, "add", "B\u00dcCHER.test")
    assert listed(hosting) == {"xn--bcher-kva.test": "served"}
    assert rcpt(hosting, "x@xn--bcher-kva.test").startswith("250") and rcpt(hosting, "x@XN--BCHER-KVA.test").startswith("250")
    assert domain(hosting, "add", "xn--bcher-kva.test", check=False).returncode == 1


def test_what_is_no_domain_goes_nowhere(hosting):
    hosting.write_conf()
    domain(hosting, "add", "fine.test")
    before = sorted(p.name for p in hosting.kept.parent.rglob("*"))
    for name in HOSTILE:
        for verb in ("add", "remove", "restore", "show"):
            refused = domain(hosting, verb, "--", name, check=False)
            assert refused.returncode in (1, 64), (verb, name, refused)
    assert sorted(p.name for p in hosting.kept.parent.rglob("*")) == before
    assert listed(hosting) == {"fine.test": "served"}


def test_a_setting_that_is_missing_or_wrong(suite):
    suite.write_conf()
    refused = suite.postern("domain", "list", check=False)
    assert refused.returncode == 78 and "domains NAME" in refused.stderr and "table NAME directory" in refused.stderr
    for name, why in (("nowhere", "unknown table"), ("our_domains", "cannot write table our_domains")):
        suite.settings = f"domains {name}\n"
        suite.write_conf()
        refused = suite.postern("check", check=False)
        assert refused.returncode == 78 and why in refused.stderr, refused.stderr


def test_a_table_that_an_administrator_made(suite):
    """A schema that is not ours is told, and left as it is."""
    suite.kept, table = in_database(suite)
    suite.tables += table
    suite.settings += "domains virtual\n"
    suite.write_conf()
    with sqlite3.connect(suite.kept) as db:
        db.execute("CREATE TABLE domains(name TEXT, owner TEXT)")
    refused = suite.postern("domain", "add", "new.test", check=False)
    assert refused.returncode == 75 and "created" in refused.stderr
    assert "is not taken here" not in suite.postern("user", "add", "info@new.test", "--generate").stderr, "nobody knows"


def opens(suite, user, password):
    c = suite.smtp(suite.submissions, tls=True)
    c.ehlo()
    said = c.command("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())
    c.close()
    return said


def test_users_in_a_file(suite):
    """By command in a file of lines: at once, and all else in it stays as it was."""
    path = suite.folder / "users" / "logins"
    plain = suite.conf
    suite.conf = lambda: plain().replace(f'auth {{ sqlite "{suite.folder}/users/users.db"', f'auth {{ file "{path}"')
    suite.write_conf()

    def user(verb, address, password=None, code=0):
        done = suite.postern("user", verb, address, *(["--password-stdin"] if password else []), input=password and password + "\n", check=False)
        assert done.returncode == code, done
        return done.stderr

    assert "No such file" in user("passwd", "alice@example.test", "first", 75)
    user("add", "alice@example.test", "first")
    assert path.stat().st_mode & 0o7777 == 0o640
    path.write_text("# our logins\n\n" + path.read_text() + "# the end, without a line's end")
    suite.start(users=())
    assert opens(suite, "alice@example.test", "first").startswith("235")
    assert opens(suite, "bob@example.test", "second").startswith("535")
    owner = path.stat()
    user("add", "bob@example.test", "second")
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode) == (owner.st_uid, owner.st_gid, owner.st_mode)
    wait_until(lambda: opens(suite, "bob@example.test", "second").startswith("235"), what="a login that was added")
    assert "already" in user("add", "Bob@example.test", "x", 1)
    user("passwd", "alice@example.test", "third")
    wait_until(lambda: opens(suite, "alice@example.test", "third").startswith("235"), what="the new password")
    assert opens(suite, "alice@example.test", "first").startswith("535")
    lines = path.read_text().splitlines()
    assert lines[:2] == ["# our logins", ""] and [x.partition(":")[0] for x in lines[2:]] == \
        ["alice@example.test", "# the end, without a line's end", "bob@example.test"]
    assert [u["address"] for u in json.loads(suite.postern("user", "list", "--json").stdout)] == ["alice@example.test", "bob@example.test"]
    suite.settings, suite.tables = "domains virtual\n", suite.tables + in_folder(suite)[1]
    suite.write_conf()
    suite.postern("domain", "add", "example.test")
    assert json.loads(suite.postern("domain", "show", "example.test", "--json").stdout)[0]["users"] == 2
    user("remove", "alice@example.test")
    wait_until(lambda: opens(suite, "alice@example.test", "third").startswith("535"), what="no login of one who was removed")
    assert "no such user" in user("remove", "alice@example.test", code=1)
    before = path.read_text()
    path.write_text(before + "a line that means nothing\n")
    assert "line 5: expected login:hash" in user("add", "carol@example.test", "x", 1)
    assert path.read_text() == before + "a line that means nothing\n"
    assert not [p for p in path.parent.iterdir() if p.name.endswith(".new")]


def test_the_virtual_aliases_of_a_postfix(suite):
    """What comes out is a file that a table of ours takes; what does not come out is named, with its line."""
    theirs, ours = suite.folder / "virtual", suite.folder / "users" / "imported"
    theirs.write_text("# /etc/postfix/virtual\nshop.test anything\ninfo@shop.test alice@example.test,\n    bob@example.test\n"
                      "@shop.test bob@example.test\nINFO@shop.test bob@example.test\n@old.test @shop.test\nx@shop.test |/bin/\x1b[31mx\n")
    done = suite.postern("import", "postfix", "--virtual", theirs, check=False)
    assert done.returncode == 1 and "\x1b" not in done.stderr
    assert [line.split(":")[1] for line in done.stderr.splitlines()[:-1]] == ["2", "7", "8", "6"]
    ours.write_text(done.stdout)
    readable(suite, ours)
    suite.tables += f'table virtual file "{ours}"\n'
    suite.routes = "\talias virtual\n" + suite.routes
    suite.write_conf()
    suite.postern("check")
    suite.start()
    c = suite.smtp()
    c.ehlo()
    for address in ("info@shop.test", "whoever@shop.test"):
        c.message("you@elsewhere.test", address)
    suite.wait_messages("alice@example.test", 1)
    suite.wait_messages("bob@example.test", 2)
    theirs.write_text("info@shop.test alice@example.test\n")
    done = suite.postern("import", "postfix", "--virtual", theirs)
    assert done.stdout == "info@shop.test: alice@example.test\n" and done.stderr == ""
    assert suite.postern("import", "postfix", check=False).returncode == 64
    assert suite.postern("import", "postfix", "--virtual", suite.folder / "none", check=False).returncode == 75


def test_what_a_postfix_and_an_exim_did(suite, next_hop, certified, tmp_path):
    """Imported, included, and mail goes where it went; the password is read by who keeps passwords, and by nobody else."""
    hub, isp = next_hop(), next_hop(tls=certified, login=("me", "of isp"))
    theirs, ours = suite.folder / "theirs", suite.folder / "ours"
    ours.mkdir()
    for folder in (suite.folder, tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)  # who reads the configuration is nobody, as with /etc/postern
    for name, text in (("transport", f"far.test smtp:[localhost]:{hub.port}\n.far.test relay:[localhost]:{hub.port}\nx.test uucp:y\n"),
                       ("sasl_passwd", f"[localhost]:{isp.port} me:of isp\n"), ("virtual", "team@old.test alice@example.test\n"),
                       ("exim/shop.test", "info: alice@example.test, bob\n*: bob@example.test\nspam: :fail: nobody here\nrun: |/bin/x\n"),
                       ("exim/shop.test~", "")):
        path = theirs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    postfix = ["import", "postfix", "--virtual", theirs / "virtual", "--transport", theirs / "transport", "--relayhost", f"[localhost]:{isp.port}",
               "--sasl-passwd", theirs / "sasl_passwd", "--to", ours / "postfix"]
    exim = ["import", "exim", "--aliases", theirs / "exim", "--qualify", "example.test", "--to", ours / "exim"]
    shown = suite.postern(*postfix, "--dry-run", check=False)
    assert shown.returncode == 1 and "of isp" not in shown.stdout and "transport imported-localhost-" in shown.stdout and not (ours / "postfix").exists()
    assert f"{theirs}/transport:3: x.test: a service of Postfix's master.cf" in shown.stderr
    done = suite.postern(*postfix, "--partly")
    assert "first.conf" in done.stdout and "of isp" not in done.stdout + done.stderr
    secret = ours / "postfix" / "credentials"
    assert secret.stat().st_mode & 0o777 == 0o600
    before = {p: p.read_bytes() for p in (ours / "postfix").iterdir()}
    refused = suite.postern(*postfix, check=False)
    assert refused.returncode == 1 and "is there already" in refused.stderr and {p: p.read_bytes() for p in (ours / "postfix").iterdir()} == before
    suite.postern(*postfix, "--partly", "--force")
    done = suite.postern(*exim, check=False)
    assert done.returncode == 1 and f"{theirs}/exim/shop.test:4: run: a program" in done.stderr and "shop.test~" in done.stderr
    # That the smarthost's certificate is one of this test, and this host is both sides, Postfix could not say.
    first = ours / "postfix" / "first.conf"
    first.write_text(re.sub(r"login imported-[^ ]+", rf'\g<0>  tls-ca "{certified[0]}"', first.read_text()))
    suite.tables += f'include "{ours}/postfix/first.conf"\ninclude "{ours}/exim/first.conf"\n'
    suite.last_route = ""
    suite.transports += f'include "{ours}/exim/last.conf"\ninclude "{ours}/postfix/last.conf"\n'
    suite.write_conf()
    suite.postern("check")
    suite.start()
    assert rcpt(suite, "spam@shop.test").startswith("550") and "nobody here" in rcpt(suite, "spam@shop.test")
    c = suite.smtp()
    c.ehlo()
    for address in ("info@shop.test", "whoever@shop.test", "team@old.test"):
        c.message("you@elsewhere.test", address)
    suite.wait_messages("alice@example.test", 2)
    suite.wait_messages("bob@example.test", 2)
    c = suite.login()
    c.message("alice@example.test", ["you@far.test", "you@deep.far.test", "you@elsewhere.test"])
    hub.wait()
    ((_, recipients, _),) = isp.wait()
    assert recipients == ["you@elsewhere.test"]
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    assert sorted(r for _, rs, _ in hub.messages for r in rs) == ["you@deep.far.test", "you@far.test"] and "of isp" not in suite.log()
