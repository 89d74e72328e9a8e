"""Logins by a directory: a real OpenLDAP, over StartTLS, ldaps and a Unix socket; and directories that are down, wrong or hostile."""

import base64
import concurrent.futures
import ctypes
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

from harness import ROOT, TOP, free_ports, make_certificate, row, turn_clock, wait_until, wire_message, wire_number, wire_text

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/libexec:/usr/lib/openldap:/usr/bin")
SUFFIX = "dc=example,dc=test"
PASSWORD, SEARCHER = "correct-horse", "look-up"

ENTRIES = f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=search,{SUFFIX}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: search
userPassword: {SEARCHER}
"""
# name, further object class, mail
PEOPLE = [("alice", "uidObject", "alice@example.test"), ("bob", None, "bob@example.test"), ("twin1", "uidObject", "twins@example.test"),
          ("twin2", "uidObject", "twins@example.test"), ("locked", "uidObject", "locked@example.test")]


def entry(name, also, mail):
    password = "" if name == "locked" else f"userPassword: {PASSWORD}\n"
    return f"\ndn: cn={name},{SUFFIX}\nobjectClass: inetOrgPerson\n" + (f"objectClass: {also}\nuid: {name}\n" if also else "") + \
        f"cn: {name}\nsn: {name}\nmail: {mail}\n{password}"


class Directory:
    """slapd in a folder of its own, as an ordinary user."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.tls_port = free_ports(2)
        self.certificate, key = make_certificate(folder, ("localhost",), "slapd")
        self.client = make_certificate(folder, ("postern.example.test",), "client")
        (folder / "db").mkdir()
        self.socket = folder / "ldapi"
        schemas = "".join(f"include /etc/ldap/schema/{s}.schema\n" for s in ("core", "cosine", "inetorgperson"))
        (folder / "slapd.conf").write_text(
            f"{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {folder}/pid\nTLSCertificateFile {self.certificate}\n"
            f"TLSCertificateKeyFile {key}\nTLSCACertificateFile {self.client[0]}\nTLSVerifyClient try\ndatabase mdb\nsuffix {SUFFIX}\nrootdn cn=admin,{SUFFIX}\ndirectory {folder}/db\n"
            "access to attrs=userPassword by anonymous auth by * none\n"
            f'access to * by dn="cn=search,{SUFFIX}" read by dn="cn=postern.example.test" read by dn.regex="^gidNumber=[0-9]+[+]uidNumber=[0-9]+,cn=peercred,cn=external,cn=auth$" read '
            "by * none\n")
        (folder / "entries").write_text(ENTRIES + "".join(entry(*p) for p in PEOPLE))
        folder.chmod(0o755)
        self.user = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] if ROOT else []
        if ROOT:
            for path in [folder, *folder.rglob("*")]:
                shutil.chown(path, "nobody")
            shutil.chown(self.client[1], "root")  # the key is ours
        subprocess.run([*self.user, SLAPD, "-T", "add", "-f", folder / "slapd.conf", "-l", folder / "entries"], check=True,
                       capture_output=True)
        self.start()

    def start(self):
        quoted = str(self.socket).replace("/", "%2F")
        self.process = subprocess.Popen(
            [*self.user, SLAPD, "-d", "0", "-f", self.folder / "slapd.conf", "-h",
             f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port} ldaps://127.0.0.2:{self.tls_port} ldapi://{quoted}"], stderr=subprocess.DEVNULL)
        wait_until(self.answers, 30, "slapd")

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.tls_port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def directory(tmp_path):
    if SLAPD is None or not os.path.isdir("/etc/ldap/schema"):
        pytest.skip("not here: slapd")
    (tmp_path / "slapd").mkdir()
    tmp_path.chmod(0o755)
    d = Directory(tmp_path / "slapd")
    yield d
    d.stop()


def ask(suite, block, password=SEARCHER):
    """The configuration of a suite that asks a directory."""
    path = suite.folder / "credentials"
    path.write_text(f"directory: cn=search,{SUFFIX} {password}\n")
    path.chmod(0o600)
    if suite.as_root:
        shutil.chown(path, "root", "postern-authd")
        path.chmod(0o640)
    suite.tables = 'table our_domains { "example.test" }\ntable our_users { "alice@example.test" "bob@example.test" }\n'
    plain = type(suite).conf
    login = "" if "external" in block else "login directory"
    suite.conf = lambda: f'credentials "{path}"\n' + plain(suite).replace(
        f'auth {{ sqlite "{suite.folder}/users/users.db" }}',
        f'auth {{ ldap {{\n{block}\n  base "{SUFFIX}"  filter "(mail=?)"  object-class uidObject  {login}\n}} }}', 1)


def code_of(suite, login="alice@example.test", password=PASSWORD):
    c = suite.smtp(suite.submissions, tls=True, seconds=60)
    c.ehlo()
    try:
        return c.command("AUTH PLAIN " + base64.b64encode(f"\0{login}\0{password}".encode()).decode())[:3]
    finally:
        c.close()


# A name that is none, or means something in a filter, finds nobody; an entry of another class is none; two of one name are a mistake of ours.
CODES = {
    ("alice@example.test", PASSWORD): "235", ("ALICE@example.test", PASSWORD): "235", ("alice@example.test", "wrong"): "535",
    ("nobody@example.test", PASSWORD): "535", ("bob@example.test", PASSWORD): "535", ("locked@example.test", PASSWORD): "535",
    ("*", PASSWORD): "535", ("alice*", PASSWORD): "535", ("x)(mail=alice@example.test", PASSWORD): "535",
    # a directory passes over blanks, and folds forms of letters, when it compares; of one account there is one login
    (" alice@example.test", PASSWORD): "535", ("alice@example.test  ", PASSWORD): "535",
    ("\uff41lice@example.test", PASSWORD): "535",
    ("alice@example.test)(cn=*", PASSWORD): "535", ("\\2a", PASSWORD): "535", ("twins@example.test", PASSWORD): "454",
}


def test_by_starttls_when_the_first_server_is_down(suite, directory):
    dead, = free_ports(1)
    ask(suite, f'server "127.0.0.1:{dead}" server "127.0.0.1:{directory.port}"  tls verified  tls-ca "{directory.certificate}"')
    suite.start(users=())
    c = suite.login(password=PASSWORD)
    c.message("alice@example.test", "bob@example.test")
    suite.wait_messages("bob@example.test")
    got = {who: code_of(suite, *who) for who in CODES}
    for (login, password), code in CODES.items():
        row("M01", f"ldap-{login}-{password == PASSWORD}", got[login, password] == code)
    assert not [p for p in (PASSWORD, SEARCHER) if p in suite.log()]
    c = suite.smtp(suite.submissions, tls=True)
    c.ehlo()
    row("A11", "ldap-empty-password", c.command("AUTH PLAIN " + base64.b64encode(b"\0alice@example.test\0").decode())[:1] == "5")


def test_what_is_wrong_with_us_is_454(suite, directory, tmp_path):
    """By reloads, each of which begins with another postern-lookup."""
    (tmp_path / "other").mkdir()
    other, _ = make_certificate(tmp_path / "other", ("localhost",))
    good = f'server "127.0.0.1:{directory.tls_port}"  tls-ca "{directory.certificate}"  tls implicit'
    ask(suite, good)
    suite.start(users=())
    assert code_of(suite) == "235"
    for variant, block, password, code in (
            ("another-ca", good.replace(str(directory.certificate), str(other)), SEARCHER, "454"),
            ("wrong-searcher", good, "not-this", "454"),
            ("another-name", good.replace("127.0.0.1", "127.0.0.2"), SEARCHER, "454"),
            ("certificate", f'{good}  external yes  tls-certificate "{directory.client[0]}"  tls-key "{directory.client[1]}"', "not-this", "235"),
            ("unix-socket", f'server "{directory.socket}"', SEARCHER, "235"),
            ("no-starttls", f'server "127.0.0.1:{directory.tls_port}"  tls verified  timeout 1s', SEARCHER, "454"),
            ("again", good, SEARCHER, "235")):
        ask(suite, block, password)
        suite.write_conf()
        suite.postern("reload")
        wait_until(lambda: len(suite.pids("lookup")) == 1, what="postern-lookup")
        wait_until(lambda: code_of(suite) == code, 60, variant)
        row("A4", f"ldap-{variant}", code_of(suite) == code)
    directory.stop()
    assert code_of(suite) == "454"
    directory.start()
    row("A4", "ldap-down-and-up", wait_until(lambda: code_of(suite) == "235", 30, "a login"))


class Hostile:
    """Answers every packet as `mode` says."""

    answers = {
        "garbage": b"\x00\xff" * 500,
        "no-end": b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01",
        "huge": b"\x30\x83\x03\x00\x00\x02\x01\x01\x61\x82\x30\x00" + b"A" * 200000,
        "referral": b"\x30\x27\x02\x01\x01\x61\x22\x0a\x01\x0a\x04\x00\x04\x00\xa3\x19\x04\x17ldap://127.0.0.1:%PORT%/",
        "unbind": b"",
        "nested": b"\x30\x80" * 5000,
        "negative": b"\x30\x0c\x02\x01\xff\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
    }

    def __init__(self):
        self.mode, self.met = "garbage", 0
        self.trap = socket.create_server(("127.0.0.1", 0))
        self.trapped = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        for listener, fn in ((self.server, self.answer), (self.trap, self.note)):
            threading.Thread(target=self.listen, args=(listener, fn), daemon=True).start()

    def listen(self, listener, fn):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=fn, args=(connection,), daemon=True).start()

    def note(self, connection):
        self.trapped += 1
        connection.close()

    def answer(self, connection):
        self.met += 1
        with connection:
            try:
                while connection.recv(65536) and self.mode != "unbind":
                    if self.mode != "silence":
                        text = self.answers[self.mode]
                        connection.sendall(text.replace(b"%PORT%", b"%05d" % self.trap.getsockname()[1]))
            except OSError:
                pass

    def close(self):
        self.server.close()
        self.trap.close()


def test_a_hostile_directory_is_454(suite):
    hostile = Hostile()
    ask(suite, f'server "127.0.0.1:{hostile.port}"  tls off  timeout 1s')
    suite.start(users=())
    before = suite.pids("lookup")
    for mode in [*Hostile.answers, "silence"]:
        hostile.mode, met = mode, hostile.met
        row("E21", f"ldap-{mode}", code_of(suite, f"{mode}@example.test") == "454" and hostile.met > met)
    row("E21", "ldap-lives", suite.pids("lookup") == before and hostile.trapped == 0 and "did not answer in time" not in suite.log())
    hostile.close()


def test_a_question_ends_when_its_time_is_over(suite):
    """20 s for all servers together: the one that is asked last has what the others have left."""
    silent = [Hostile(), Hostile()]
    for s in silent:
        s.mode = "silence"
    ask(suite, "".join(f'  server "127.0.0.1:{s.port}"' for s in silent) + "  tls off  timeout 15s")
    suite.start(users=())
    with concurrent.futures.ThreadPoolExecutor() as others:
        code = others.submit(code_of, suite)
        wait_until(lambda: silent[0].met, what="the first server")
        turn_clock(suite, 18)
        wait_until(lambda: silent[1].met, what="the second server")
        turn_clock(suite, 2)
        row("E21", "ldap-question-is-bounded", code.result(60) == "454")
    # Nobody waited for the word of the second child, which has 15 s of its own.
    suite.wait_log("password-back-end .*did not answer in time")
    late = re.compile(r"directory-unavailable .*did not answer in time")
    wait_until(lambda: len(late.findall(suite.log())) >= 2, what="a line for each server")
    assert len(late.findall(suite.log())) == 2
    for s in silent:
        s.close()


# ---- a child that was taken over ----


def link_of(child):
    """The child's end of its link to postern-lookup; None: it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        handle = os.pidfd_open(child)
    except ProcessLookupError:
        return None
    try:
        for name in os.listdir(f"/proc/{child}/fd"):
            fd = libc.syscall(438, handle, int(name), 0) if os.readlink(f"/proc/{child}/fd/{name}").startswith("socket:") else -1  # pidfd_getfd
            if fd != -1:
                s = socket.socket(fileno=fd)
                if s.family == socket.AF_UNIX and s.type == socket.SOCK_SEQPACKET:
                    return s
                s.close()
    except OSError:
        pass  # it ends, or what it held was closed just now
    finally:
        os.close(handle)
    return None


def end_of_question(number):
    outcomes = re.findall(r"^OUTCOME\((\w+),", (TOP / "common" / "base" / "outcome.def").read_text(), re.M)
    return wire_message("DIRECTORY_END", wire_number(number) + wire_number(outcomes.index("AUTHENTICATED")) + wire_text("so I say"))


@pytest.mark.root
@pytest.mark.parametrize("number", [0, 1, 2**64 - 1])
def test_a_child_speaks_of_a_question_that_it_was_not_given(suite, number):
    """A login waits for the name of the directory; a child that was taken over says of it, by the number of no question, that the
    password is right.  It is not, and the answer to the name meets no memory that was freed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names:
        names.bind(("127.0.0.1", 0))
        names.settimeout(60)
        suite.resolver = f"forward 127.0.0.1@{names.getsockname()[1]}"
        ask(suite, f'server "directory.elsewhere.test:3890"  tls verified  tls-ca "{suite.certificate}"  timeout 2s')
        suite.start(users=())
        lookup, = suite.pids("lookup")
        link = wait_until(lambda: next(filter(None, (link_of(c) for c in suite.children(lookup))), None), what="a child with its link")
        codes = []
        login = threading.Thread(target=lambda: codes.append(code_of(suite)))
        login.start()
        while b"directory" not in names.recv(4096):
            pass
        link.send(end_of_question(number))
        login.join(60)
        if number == 0:
            suite.wait_log(r" children-gone why=\"a child only answers\"")
            wait_until(lambda: suite.pids("lookup") not in ([], [lookup]), 30, "another postern-lookup")
        else:
            assert suite.pids("lookup") == [lookup]
        link.close()
        row("E21", f"ldap-childs-word-about-{number}", codes == ["454"] and not re.search(r'role=lookup .*how="signal', suite.log()))
