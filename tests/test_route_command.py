"""`postern route`: what would become of an address and why, by the server that runs or by the file alone; and it writes nothing."""

import json
import os
import re
import subprocess

import pytest

from harness import BIN, row
from test_routes import readable

ALIASES = "table aliases {\n\tsales@example.test: alice@example.test, bob@example.test\n\tgone@example.test: nobody@example.test\n}\n"


@pytest.fixture
def routed(suite):
    suite.tables += ALIASES
    suite.routes = '\thold if sender == "odd@elsewhere.test"\n\talias aliases\n' + suite.routes
    return suite


def route(suite, *words, exit=0):
    done = suite.postern("route", *words, check=False)
    assert done.returncode == exit, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def rows(suite, *words, exit=0):
    return json.loads(route(suite, "--json", *words, exit=exit))


def line_of(suite, text):
    """FILE:LINE of a rule of the configuration, as a pattern: the file's folder stands before it where the command read it."""
    lines = suite.conf_path.read_text().splitlines()
    (n,) = [i for i, line in enumerate(lines, 1) if line.strip() == text]
    return rf"\S*postern\.conf:{n}"


def told(suite, *words):
    """What a person would look for in a tree."""
    text = route(suite, "sales@example.test", *words)
    alias = line_of(suite, "alias aliases")
    deliver = line_of(suite, "deliver mailboxes if recipient in our_users")
    assert re.search(rf"^  yes     {alias}  alias aliases$", text, re.M)
    assert re.search(r"table aliases: yes at \S+: alice@example\.test, bob@example\.test$", text, re.M)
    for who in ("alice", "bob"):
        assert re.search(rf"^  {who}@example\.test  \(from {alias}\)$", text, re.M)
        assert f"--> mailboxes {suite.folder}/mail/example.test/{who}/, as user " in text
        assert f"recipient in our_users: yes ({who}@example.test) at " in text
    assert re.search(rf"yes     {deliver}  deliver mailboxes if recipient in our_users$", text, re.M)
    assert text.rstrip().splitlines()[-1].startswith("accepted, targets: 2: 250 ")


def state_of(suite):
    """Every file of the suite but its log, and when it was written."""
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in suite.folder.rglob("*")
            if p.is_file() and p.name != "log" and not p.name.endswith(("-shm", "-wal"))}


def test_a_running_server_tells_each_step(routed):
    routed.start()
    before = state_of(routed)
    told(routed)
    assert state_of(routed) == before, "a question wrote something"
    assert routed.queue() == []


def test_the_session_that_is_asked_for(routed):
    routed.start()
    held = rows(routed, "bob@example.test", "--from", "odd@elsewhere.test")
    assert [r["held"] for r in held if r["kind"] == "target"] == ["yes"]
    assert [r["held"] for r in rows(routed, "bob@example.test") if r["kind"] == "target"] == ["no"]
    stranger = rows(routed, "you@elsewhere.test", exit=1)[-1]
    assert (stranger["outcome"], stranger["code"], stranger["relay"]) == ("refused", "550", "refused")
    login = rows(routed, "you@elsewhere.test", "--as", "alice@example.test")[-1]
    assert (login["outcome"], login["relay"]) == ("accepted", "allowed")
    assert rows(routed, "you@elsewhere.test", "--listener", "local")[-1]["relay"] == "allowed"
    assert "no such listener" in routed.postern("route", "you@elsewhere.test", "--listener", "cellar", check=False).stderr
    assert "bad domain" in routed.postern("route", "you@b@c", check=False).stderr


def test_what_it_says_is_what_a_client_hears(routed):
    routed.start()
    for address, code in (("nobody@example.test", "550"), ("alice@example.test", "250"), ("gone@example.test", "250")):
        c = routed.smtp()
        c.ehlo()
        c.expect(250, "MAIL FROM:<you@elsewhere.test>")
        heard = c.command(f"RCPT TO:<{address}>")
        c.close()
        assert heard.startswith(code)
        assert rows(routed, address, exit=0 if code == "250" else 1)[-1]["code"] == code


def test_without_a_server_the_file_is_evaluated(routed):
    """By whoever reads it: as root it is policyd's own user that looks into tables."""
    many = routed.folder / "many"
    many.write_text("all@example.test: " + ", ".join(f"member-{i}@many.test" for i in range(9999)) + "\n")
    routed.tables += f'table many file "{readable(routed, many)}"\n'
    routed.routes = '\talias many\n\tdiscard if recipient.domain == "many.test"\n' + routed.routes
    routed.write_conf()
    for address in ("alice@example.test", "bob@example.test"):
        routed.add_user(address)
    told(routed)
    # Of a long list a part is shown: whoever asks waits for no more, and neither does policyd.
    assert "member-98@" in route(routed, "all@example.test") and rows(routed, "all@example.test", "--offline")[-1]["not-shown"] == "9900"
    assert "Postern is not running" in routed.postern("route", "sales@example.test").stderr
    routed.start(users=())
    new = routed.conf_path.read_text().replace("bob@example.test\n", "alice@example.test\n", 1)
    routed.conf_path.write_text(new)
    assert "and 9900 more addresses, which are not shown\n" in route(routed, "all@example.test")
    running = rows(routed, "sales@example.test")
    changed = rows(routed, "sales@example.test", "--offline")
    assert (running[-1]["targets"], changed[-1]["targets"]) == ("2", "1"), "--offline is the file as it is now"


def test_it_tells_where_an_answer_stood_and_why_there_is_none(suite):
    path = suite.folder / "users" / "aliases"
    path.write_text("# names\ninfo@example.test: alice@example.test\n")
    path.chmod(0o644)
    if suite.as_root:
        (suite.folder / "users").chmod(0o755)
    suite.tables += f'table names file "{path}"\ntable gone file "{suite.folder}/users/gone"\n'
    suite.routes = '\talias names\n\treject "x" if recipient.domain == "gone.test" and recipient in gone\n' + suite.routes
    suite.start()
    assert f"table names: yes at {path}:2: alice@example.test\n" in suite.postern("route", "info@example.test").stdout
    end = suite.postern("route", "x@gone.test", check=False)
    assert end.returncode == 75 and re.search(r"recipient in gone: unknown \(x@gone\.test\): (No such file|it cannot be asked now)", end.stdout)
    assert f"table names: yes at {path}:2: alice@example.test\n" in suite.postern("route", "info@example.test", "--offline").stdout


def test_what_only_a_server_could_say_is_deferred(suite):
    suite.tables += "table broken sqlite \"/nowhere/x.db\" \"select 1 where 1 = ?\"\n"
    suite.routes = "\tdeliver mailboxes if recipient in broken\n"
    suite.write_conf()
    end = rows(suite, "alice@example.test", exit=75)[-1]
    assert (end["outcome"], end["code"]) == ("deferred", "451")


def test_a_configuration_with_mistakes_is_said_so(suite):
    suite.conf_path.write_text("colour red\n")
    done = suite.postern("route", "alice@example.test", "--offline", check=False)
    assert done.returncode == 78 and "postern check" in done.stderr


@pytest.mark.root
def test_only_root_and_the_operator_may_ask(routed):
    routed.start()
    done = subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", BIN / "postern", "--runtime",
                           routed.folder / "run", "route", "alice@example.test"], capture_output=True, text=True, timeout=60,
                          env={**os.environ}, cwd="/")
    assert done.returncode == 77 and "alice" not in done.stdout
    row("O03", "route-command-asked-by-nobody", True)


def test_metacharacters_are_shown_as_they_are(routed):
    """Of a configuration's own language, of a shell, and of a terminal."""
    routed.tables += 'table odd { "a@meta.test": "${run{id}}@example.test" }\n'
    routed.routes = "\talias odd\n" + routed.routes
    routed.start()
    for local in ("${run{id}}", '"$(id)"', "{recipient}", "{{x}}", "%s%n", "`id`"):
        end = rows(routed, f"{local}@example.test", exit=1)
        row("E09", f"route-command-{local}", end[0]["address"] == f"{local}@example.test")
    assert "--> refused" in routed.postern("route", "a@meta.test", check=False).stdout
    assert "${run{id}}@example.test" in routed.postern("route", "a@meta.test", check=False).stdout


def write_aliases(suite, text):
    path = suite.folder / "users" / "aliases"
    path.write_text(text)
    path.chmod(0o644)
    if suite.as_root:
        (suite.folder / "users").chmod(0o755)
    suite.tables += f'table system_aliases file "{path}"\n'
    return path


def test_check_tells_what_is_wrong_in_an_alias_file(suite):
    path = write_aliases(suite, 'info: alice@example.test\nrun: "|/usr/bin/id"\nodd: "alice, |\nbad: alice@\nempty:\n')
    suite.routes = "\talias system_aliases\n" + suite.routes
    suite.write_conf()
    done = suite.postern("check", suite.conf_path, check=False)
    assert done.returncode == 78
    told = [line.removeprefix(f"{path}:") for line in done.stderr.splitlines() if line.startswith(f"{path}:")]
    assert [line.split(":")[0] for line in told] == ["4", "5", "3", "2"], done.stderr
    assert "programs TRANSPORT" in told[3] and "quote" in told[2]
    path.write_text("info: alice@example.test\n")
    done = suite.postern("check", suite.conf_path)
    assert done.stdout.endswith(": ok\n") and str(path) not in done.stderr
    path.write_text("info: alice@example.test\ninfo: bob@example.test\n")
    done = suite.postern("check", suite.conf_path, check=False)
    assert done.returncode == 78 and f"{path}:2: " in done.stderr


@pytest.mark.root
def test_mail_for_root_is_for_the_postmaster_and_check_says_so(suite):
    path = write_aliases(suite, "info: alice@example.test\n")
    suite.routes = '\talias system_aliases\n\tdeliver homes if recipient.domain == "mx.example.test"\n' + suite.routes
    suite.transports = 'transport homes { maildir "~/Maildir/" }\n'
    suite.write_conf()
    done = suite.postern("check", suite.conf_path)
    assert "warning: root@mx.example.test has no alias" in done.stderr and "alice@example.test" in done.stderr
    suite.start()
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "root@mx.example.test")
    row("O03", "root-mail-goes-to-somebody", len(suite.wait_messages("alice@example.test")) == 1)
    path.write_text("root: bob@example.test\n")
    assert "warning" not in suite.postern("check", suite.conf_path).stderr


@pytest.mark.root
def test_newaliases_tells_mistakes(suite):
    """With /etc as it would be there, in a mount namespace of its own."""
    path = write_aliases(suite, "info: alice@\n")
    suite.routes = "\talias system_aliases\n" + suite.routes
    suite.write_conf()
    etc = suite.folder / "etc"
    script = (f"cp -a /etc {etc} && mkdir -p {etc}/postern && cp {suite.conf_path} {etc}/postern/postern.conf && mount --bind {etc} /etc && "
              f"exec {BIN}/sendmail -bi")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 78 and f"{path}:1: " in done.stderr and "nothing to build" in done.stdout, done
    path.write_text("info: alice@example.test\n")
    done = subprocess.run(["unshare", "-m", "sh", "-c", f"mount --bind {etc} /etc && exec {BIN}/sendmail -bi"], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and str(path) not in done.stderr, done
