"""What the end-to-end tests share: a suite in a directory of its own, a raw SMTP client, small servers as next hops."""

import atexit
import base64
import contextlib
import functools
import itertools
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", TOP / "build" / "dev"))
BIN = BUILD / "bin"
SUITES = pathlib.Path(os.environ.get("POSTERN_SUITES", TOP.parent / "shared" / "suites"))
ROOT = os.geteuid() == 0
ROLES = ["gate", "smtpd", "queue", "policyd", "relay", "local", "authd", "keyd", "resolver", "dial", "log"]  # those that always run
PASSWORD = "correct horse battery"


def row(ident, variant, ok):
    """One line a promise, for whoever counts them."""
    print(f"ROW {ident} {variant} {'pass' if ok else 'fail'}")
    assert ok, f"{ident} {variant}"


# How long something may take that is waited for: much longer than it takes, for the machine may be busy with other things.
PATIENCE_SECONDS = 45

# Below the range the kernel takes clients' ports from.  A process has a block of them to itself as long as it lives, also beside the
# processes of other runs, so that a port that was free is so when it is bound.
PORTS = range(10000, 32000)
BLOCK = 400


def own_ports():
    """An endless round through a block: it is whose socket has its name."""
    for number in range(len(PORTS) // BLOCK):
        block = PORTS[(os.getpid() + number) * BLOCK % len(PORTS):][:BLOCK]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name, contextlib.suppress(OSError):
            name.bind(f"\0postern-test-ports-{block[0]}")
            yield from itertools.cycle(block)
    raise AssertionError("all blocks of ports are other test runs'")


ports = own_ports()


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count):
    return list(itertools.islice((p for p in ports if is_free(p)), count))


def wait_until(condition, seconds=PATIENCE_SECONDS, what="it"):
    """Polls for something that has no event to wait for; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        assert not late, f"{what} did not happen within {seconds} s"
        time.sleep(0.03)


@contextlib.contextmanager
def system_user(name, *options, password=None):
    """A user of this system for the time being.  Others change the files of users, too: they may be locked.  userdel(8) removes
    a home with all that is in it, whatever that is: here only one of his own name beneath /home."""
    def done(words, good, **more):
        return lambda: subprocess.run(words, check=False, capture_output=True, text=True, **more).returncode in good
    wait_until(done(["useradd", *options, name], (0, 9)), 60, "a new user")
    try:
        if password is not None:
            wait_until(done(["chpasswd"], (0,), input=f"{name}:{password}\n"), 60, "its password")
        yield pwd.getpwnam(name)
    finally:
        with_home = ["--remove"] if pwd.getpwnam(name).pw_dir == f"/home/{name}" else []
        wait_until(done(["userdel", "--force", *with_home, name], (0, 6, 12)), 60, "the end of a user")


@functools.cache
def make_users():
    subprocess.run([TOP / "scripts" / "make-users"], check=True, capture_output=True)


@functools.cache
def programs_for(user):
    """BIN, or where it lies in a home that this user cannot enter, a copy."""
    if user is None or not any(folder.stat().st_mode & 0o005 != 0o005 for folder in BIN.resolve().parents):
        return BIN
    copy = pathlib.Path(tempfile.mkdtemp(prefix="postern-bin-"))
    atexit.register(shutil.rmtree, copy, True)
    shutil.copytree(BIN, copy, dirs_exist_ok=True)
    copy.chmod(0o755)
    return copy


EC, RSA = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], ["rsa:2048"]


def make_certificate(folder, names=("mx.example.test", "localhost"), stem="cert", days=30, kind=EC):
    """Self-signed, and good for 127.0.0.1; returns (certificate, key)."""
    certificate, key = folder / f"{stem}.pem", folder / f"{stem}-key.pem"
    alternatives = ",".join([f"DNS:{n}" for n in names] + ["IP:127.0.0.1"])
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", str(days),
         "-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={alternatives}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def wire_number(n):
    return n.to_bytes(8, "big")


def wire_text(words):
    return wire_number(len(words)) + words.encode()


def wire_message(name, body, request=0):
    """A packet of one message, as processes send it to each other."""
    names = re.findall(r"^(?:MSG|REC)\((\w+),", (TOP / "common" / "ipc" / "messages.def").read_text(), re.M)
    return names.index(name).to_bytes(2, "big") + bytes(2) + len(body).to_bytes(4, "big") + wire_number(request) + body


def turn_clock(suite, seconds):
    """Says clock.turn, which only a build for tests knows, on the control socket."""
    field = wire_text("forward_ms") + wire_text(str(seconds * 1000))
    body = wire_number(2**64 - 1) + wire_text("clock.turn") + wire_text("") + wire_number(len(field) + 8) + wire_number(len(field)) + field
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(20)
        s.connect(str(suite.folder / "run" / "control"))
        s.send(wire_message("CONTROL_ASK", body, 1))
        answer = s.recv(100000)
    assert len(answer) >= 24, f"the control socket was closed without an answer: {answer}"
    assert int.from_bytes(answer[16:24], "big") == 0, answer


class Suite:
    """One Postern in one directory.  Build it, change `conf` or `extra`, start it; stop() at the end of the test."""

    def __init__(self, folder, **options):
        self.folder = pathlib.Path(folder)
        self.mx, self.submission, self.submissions = free_ports(3)
        self.process = None
        self.command = options.get("command")  # instead of the master that was built
        self.prefix = options.get("prefix", [])
        self.environment = options.get("environment", {})
        self.arguments = options.get("arguments", [])  # of postern-master
        self.user = options.get("user")  # run as this user instead of the caller
        for name in ("spool", "run", "run/empty", "users", "mail"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = make_certificate(self.folder)
        self.settings = ""
        self.tls_hosts = ""
        self.resolver = "forward 127.0.0.1@1"
        self.dnssec = "off"
        self.tables = 'table our_domains { "example.test" }\n' \
            f'table our_users sqlite "{self.folder}/users/users.db" "select address from users where address = ?"\n'
        self.routes = "\tdeliver mailboxes if recipient in our_users\n" \
            '\treject 550 "no such user here" if recipient.domain in our_domains\n'
        self.last_route = "\trelay internet\n"
        self.internet = "smtp mx  tls optional"
        self.transports = ""
        self.policy = ""
        self.listeners = (
            f"listen 127.0.0.1:{self.mx} {{ role mx  tls optional }}\n"
            f"listen 127.0.0.1:{self.submission} {{ role submission  tls required  auth required }}\n"
            f"listen 127.0.0.1:{self.submissions} {{ role submission  tls implicit  auth required }}\n")
        self.own_folders()

    def own_folders(self):
        self.as_root = ROOT and self.user is None
        if self.user is not None:
            for path in [self.folder, *self.folder.rglob("*")]:
                shutil.chown(path, self.user)
        if not self.as_root:
            return
        make_users()
        shutil.chown(self.folder / "spool", "postern-queue", "postern-queue")
        shutil.chown(self.folder / "mail", "postern-mail", "postern-mail")
        shutil.chown(self.folder / "users", "root", "postern")
        (self.folder / "users").chmod(0o750)

    @property
    def conf_path(self):
        return self.folder / "postern.conf"

    def conf(self):
        owner = "postern-mail" if self.as_root else self.user or pwd.getpwuid(os.geteuid()).pw_name
        return (
            "hostname mx.example.test\npostmaster alice@example.test\n"
            f"spool {self.folder}/spool\nruntime {self.folder}/run\n"
            f"resolver {self.resolver}\ndnssec {self.dnssec}\n{self.settings}\n"
            f'{self.listeners}tls {{ certificate "{self.certificate}" key "{self.key}"\n{self.tls_hosts} }}\n'
            f'auth {{ sqlite "{self.folder}/users/users.db" }}\n{self.tables}\n'
            f"{self.policy}route {{\n{self.routes}{self.last_route}}}\n"
            f'transport mailboxes {{\n\tmaildir "{self.folder}/mail/{{domain}}/{{local}}/"\n\tuser {owner}\n}}\n'
            f"transport internet {{ {self.internet} }}\n{self.transports}")

    def write_conf(self, text=None):
        self.conf_path.write_text(self.conf() if text is None else text)
        if self.user is not None:
            shutil.chown(self.conf_path, self.user)

    def add_user(self, address, password=PASSWORD):
        if not self.conf_path.exists():
            self.write_conf()
        self.postern("user", "add", address, "--password-stdin", input=password + "\n")
        database = self.folder / "users" / "users.db"
        if self.as_root:
            shutil.chown(database, "root", "postern")
            database.chmod(0o640)
        elif self.user is not None:
            shutil.chown(database, self.user)
            shutil.chown(f"{database}.secrets", self.user)

    def start(self, users=("alice@example.test", "bob@example.test")):
        self.write_conf()
        for address in users:
            if not (self.folder / "users" / f".{address}").exists():
                self.add_user(address)
                (self.folder / "users" / f".{address}").touch()
        self.launch()
        return self

    def launch(self):
        programs = programs_for(self.user)
        command = self.command or [*self.prefix, programs / "postern-master", "-F", "-c", self.conf_path, "--libexec", programs,
                                   *self.arguments]
        if self.user is not None:
            command = ["setpriv", "--reuid", self.user, "--regid", str(pwd.getpwnam(self.user).pw_gid), "--clear-groups", *command]
        self.log_path = self.folder / "log"
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **self.environment}, start_new_session=True)
        log.close()
        self.wait_log(r"(^|\s)ready(\s|$)", 60)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            f.seek(self.log_start)
            return f.read()

    def wait_log(self, pattern, seconds=PATIENCE_SECONDS):
        expression = re.compile(pattern, re.M)

        def seen():
            if self.process.poll() is not None and not expression.search(self.log()):
                raise AssertionError(f"postern-master ended with {self.process.returncode}:\n{self.log()[-4000:]}")
            return expression.search(self.log())
        try:
            return wait_until(seen, seconds, f"log line {pattern!r}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()[-4000:]}") from None

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill_all()
                raise AssertionError(f"SIGTERM did not end it:\n{self.log()[-3000:]}") from None
        reports = sanitizer_reports(self.log_path.read_text(errors="replace"))
        assert not reports, "\n".join(reports)

    def kill_all(self):
        """kill -9 of everything."""
        pids = [self.process.pid, *self.children()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(alive(p) for p in pids), what="the end of all processes")

    def children(self, of=None):
        """All descendants."""
        return descendants(of or self.process.pid)

    def pids(self, role):
        """Processes of a role that the master started itself, not what they forked."""
        name = f"postern-{role}"
        return sorted(p for p in self.children() if program(p) == name and program(parent(p)) != name)

    def kill(self, role, sig=signal.SIGKILL):
        for pid in self.pids(role):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)

    def postern(self, *words, input=None, check=True):
        done = subprocess.run([BIN / "postern", "--config", self.conf_path, *words], input=input, text=True,
                              capture_output=True, timeout=60)
        assert not check or done.returncode == 0, f"postern {' '.join(map(str, words))}: {done.stderr}{done.stdout}"
        return done

    def queue(self):
        return json.loads(self.postern("--json", "queue", "list").stdout)

    def maildir(self, address):
        local, domain = address.split("@")
        return self.folder / "mail" / domain / local / "new"

    def messages(self, address):
        folder = self.maildir(address)
        return [p.read_bytes() for p in sorted(folder.iterdir())] if folder.is_dir() else []  # each was renamed here when it was whole

    def wait_messages(self, address, count=1, seconds=PATIENCE_SECONDS):
        try:
            wait_until(lambda: len(self.messages(address)) >= count, seconds, f"{count} messages for {address}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()[-4000:]}") from None
        return self.messages(address)

    def smtp(self, port=None, **options):
        return Smtp(port or self.mx, **options)

    def login(self, user="alice@example.test", password=PASSWORD):
        """A submission session after its login."""
        c = Smtp(self.submissions, tls=True)
        c.ehlo()
        c.auth_plain(user, password)
        return c


def sanitizer_reports(text):
    """What a build with sanitizers found, as the lines that begin a report."""
    return re.findall(r"^.*(?:ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|: runtime error: ).*$", text, re.M)


def descendants(of):
    """The children of a process, and theirs."""
    made = {}  # parent -> children, read once: a machine may have many processes
    for name in os.listdir("/proc"):
        if name.isdigit():
            made.setdefault(parent(name), []).append(int(name))
    found, ask = [], [of]
    while ask:
        children = made.get(ask.pop(), [])
        found += children
        ask += children
    return found


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def proc(pid, name):
    """The text of a file in /proc about a process; "": it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def make_owned(folder):
    """With what lies above it, as its owner would have made them."""
    if not folder.exists():
        make_owned(folder.parent)
        folder.mkdir(mode=0o700)
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid)


def status_of(pid):
    """Its /proc/PID/status, name to value; empty: it is gone."""
    return dict(line.split(":", 1) for line in proc(pid, "status").splitlines() if ":" in line)


def program(pid):
    """The name of the file that a process runs; None: it is gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None


def parent(pid):
    """The process that made it; 0: it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return int(f.read().rsplit(b")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0


@functools.cache
def trusting_context(certificate=None):
    """TLS of a client that takes any certificate, and shows its own (chain, key)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(*certificate)
    return context


class Smtp:
    """A raw client: sends what it is told, byte for byte."""

    certificate = None  # (chain, key) of the client

    def __init__(self, port, tls=False, host="127.0.0.1", seconds=PATIENCE_SECONDS, greet=True, source=None, certificate=None):
        self.certificate = certificate
        self.socket = socket.create_connection((host, port), timeout=seconds, source_address=(source, 0) if source else None)
        self.buffer = b""
        if tls:
            self.wrap()
        self.greeting = self.reply() if greet else None

    def wrap(self):
        context = trusting_context(self.certificate)
        self.socket = context.wrap_socket(self.socket, server_hostname="mx.example.test")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError(f"closed by the server, after {self.buffer!r}")
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode(errors="replace")

    def reply(self):
        """The whole reply; its lines joined by newlines."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def command(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def expect(self, code, text):
        got = self.command(text)
        assert got.startswith(str(code)), f"{text!r}: {got!r}, not {code}"
        return got

    def ehlo(self, name="client.example"):
        return self.expect(250, f"EHLO {name}")

    def starttls(self):
        self.expect(220, "STARTTLS")
        self.wrap()

    def auth_plain(self, user, password, code=235):
        secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.expect(code, f"AUTH PLAIN {secret}")

    def envelope(self, sender, *recipients):
        self.expect(250, f"MAIL FROM:<{sender}>")
        for r in recipients:
            self.expect(250, f"RCPT TO:<{r}>")

    def data(self, body):
        """Sends a whole message (LF or CRLF lines, dots are stuffed); the reply."""
        self.expect(354, "DATA")
        lines = body.replace("\r\n", "\n").rstrip("\n").split("\n")
        self.send("".join(("." + l if l.startswith(".") else l) + "\r\n" for l in lines) + ".\r\n")
        return self.reply()

    def chunk(self, octets, last=False):
        """BDAT with these octets; the reply."""
        self.send(b"BDAT %d%s\r\n" % (len(octets), b" LAST" if last else b"") + octets)
        return self.reply()

    def message(self, sender, recipients, body="Subject: test\n\nhello\n"):
        recipients = [recipients] if isinstance(recipients, str) else recipients
        self.envelope(sender, *recipients)
        got = self.data(body)
        assert got.startswith("250"), got
        return got

    def closed(self):
        """Whether the server ends the connection, with nothing further said."""
        try:
            return self.socket.recv(65536) == b""
        except ConnectionError:
            return True

    def close(self):
        self.socket.close()


class NextHop:
    """A next host: accepts all, or answers by `script` (verb -> reply).  Keeps what it got."""

    def __init__(self, script=None, tls=None, login=None, keywords=("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000"),
                 lmtp=False, server=None):
        self.script, self.tls, self.login, self.keywords, self.lmtp = script or {}, tls, login, keywords, lmtp
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
        self.messages = []  # (sender, recipients, data)
        self.sessions = []  # what was said in each: (line, over_tls)
        self.server = server or socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.server.getsockname()[1]
        self.changed = threading.Condition()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def serve(self, connection):
        with contextlib.suppress(OSError, ConnectionError, ssl.SSLError):
            Conversation(self, connection).run()

    def keep(self, sender, recipients, data):
        with self.changed:
            self.messages.append((sender, recipients, data))
            self.changed.notify_all()

    def wait(self, count=1, seconds=PATIENCE_SECONDS):
        with self.changed:
            ok = self.changed.wait_for(lambda: len(self.messages) >= count, seconds)
        assert ok, f"{len(self.messages)} of {count} messages came; the last sessions: {str(self.sessions)[-2000:]}"
        return self.messages


class Conversation:
    def __init__(self, hop, connection):
        self.hop, self.socket, self.buffer, self.secure = hop, connection, b"", False
        self.said, self.sender, self.recipients, self.chunks, self.logged_in = [], None, [], b"", False
        hop.sessions.append(self.said)

    def send(self, text):
        self.socket.sendall(text.encode() + b"\r\n")

    def line(self):
        while b"\r\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode(errors="surrogateescape")

    def run(self):
        self.send(self.hop.script.get("greeting", "220 hop.example ESMTP"))
        while True:
            line = self.line()
            self.said.append((line, self.secure))
            verb = line.split(" ")[0].upper()
            handler = getattr(self, "on_" + verb.lower(), None)
            scripted = self.hop.script.get(verb) or self.hop.script.get(line)
            if callable(scripted):
                scripted = scripted(line)
            if scripted is not None:
                if verb == "MAIL":
                    self.sender = None
                self.send(scripted)
                if scripted.startswith("421"):
                    return
            elif handler is None:
                self.send("250 2.0.0 ok")
            elif handler(line) == "end":
                return

    def on_ehlo(self, line):
        words = list(self.hop.keywords)
        if self.hop.tls and not self.secure:
            words.append("STARTTLS")
        if self.hop.login and (self.secure or not self.hop.tls):
            words.append("AUTH PLAIN LOGIN CRAM-MD5")
        lines = ["hop.example", *words]
        self.send("\r\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{w}" for i, w in enumerate(lines)))

    on_lhlo = on_ehlo

    def on_starttls(self, line):
        self.send("220 go ahead")
        self.socket = self.hop.context.wrap_socket(self.socket, server_side=True)
        self.secure = True

    def on_auth(self, line):
        words = line.split(" ")
        if words[1].upper() != "PLAIN" or len(words) < 3:
            self.send("504 5.5.4 only PLAIN with an initial response")
            return
        _, user, password = base64.b64decode(words[2]).decode().split("\0")
        self.logged_in = (user, password) == self.hop.login
        self.send("235 2.7.0 ok" if self.logged_in else "535 5.7.8 wrong")

    def on_mail(self, line):
        self.sender, self.recipients, self.chunks = line.split("<", 1)[1].split(">")[0], [], b""
        if self.hop.login and not self.logged_in:
            self.send("530 5.7.0 log in first")
            self.sender = None
        else:
            self.send("250 2.1.0 ok")

    def on_rcpt(self, line):
        if self.sender is None:
            self.send("503 5.5.1 MAIL first")
            return
        self.recipients.append(line.split("<", 1)[1].split(">")[0])
        self.send("250 2.1.5 ok")

    def on_data(self, line):
        if self.sender is None or not self.recipients:
            self.send("503 5.5.1 no recipients")
            return
        self.send("354 go")
        while b"\r\n.\r\n" not in self.buffer and not self.buffer.startswith(b".\r\n"):
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError
            self.buffer += more
        if self.buffer.startswith(b".\r\n"):
            data, self.buffer = b"", self.buffer[3:]
        else:
            data, self.buffer = self.buffer.split(b"\r\n.\r\n", 1)
        data = b"\r\n".join(l[1:] if l.startswith(b".") else l for l in data.split(b"\r\n"))
        self.end_of_data(data)

    def on_bdat(self, line):
        """RFC 3030; the chunks of a message are kept as one."""
        words = line.split(" ")
        while len(self.buffer) < int(words[1]):
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError
            self.buffer += more
        self.chunks += self.buffer[:int(words[1])]
        self.buffer = self.buffer[int(words[1]):]
        if self.sender is None or not self.recipients:
            self.send("503 5.5.1 no recipients")
        elif len(words) < 3:
            self.send("250 2.0.0 ok")
        else:
            self.end_of_data(self.chunks)

    def end_of_data(self, data):
        """One verdict; LMTP: one for each recipient, by its address where the script has one."""
        final = self.hop.script.get("end", "250 2.0.0 kept")
        finals = [self.hop.script.get("end " + r, final) for r in self.recipients] if self.hop.lmtp else [final]
        if any(f.startswith("250") for f in finals):
            self.hop.keep(self.sender, list(self.recipients), data)
        for f in finals:
            self.send(f)

    def on_quit(self, line):
        self.send("221 2.0.0 bye")
        return "end"
