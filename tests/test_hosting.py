"""Virtual hosting: a domain or a user is one command, which counts at once, and one command takes it back."""

import base64
import json
import re
import shutil
import sqlite3

import pytest

from harness import wait_until
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
