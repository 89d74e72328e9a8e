"""Tables that other servers keep: a real PostgreSQL, a real Redis, a socketmap; what they may say, and what a key may not do to them."""

import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import ROOT, free_ports, make_certificate, row, turn_clock, wait_until
from test_ldap import SEARCHER, SUFFIX, directory  # noqa: F401 (a fixture)
from test_routes import rcpt, stranger
from test_tls import settle

POSTGRES = next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)), None)
REDIS = shutil.which("redis-server") or shutil.which("valkey-server")
SQL_KEYS = ("' or 1=1--", "x'||(select", ";drop table people;--", "%", "_", "$1", "info@example.test' --", "\\")


class Server:
    """A program in a folder of its own, as an ordinary user."""

    def __init__(self, folder, user):
        self.folder, self.port = folder, free_ports(1)[0]
        folder.mkdir()
        for path in (folder, folder.parent, folder.parent.parent):
            path.chmod(0o755)
        self.user = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if ROOT else []
        if ROOT:
            shutil.chown(folder, user, user)
        self.process = None

    def run(self, *command, **options):
        return subprocess.run([*self.user, *command], check=True, capture_output=True, text=True, cwd=self.folder, **options)

    def spawn(self, *command):
        self.process = subprocess.Popen([*self.user, *command], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 30, command[0])

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
        self.process = None


class Postgres(Server):
    def __init__(self, folder):
        super().__init__(folder, "postgres")
        (folder / "password").write_text("secret\n")
        self.run(f"{POSTGRES}/initdb", "-D", "db", "-U", "mail", "--auth=scram-sha-256", "--pwfile=password", "-N", "-E", "UTF8", "--locale=C")
        self.start()
        self.sql("create database mail", "postgres")
        self.sql("create table people(address text primary key, target text)")
        self.sql("insert into people values('info@example.test', 'alice@example.test'), ('null@example.test', null)")
        self.sql("create table lists(name text, member text)")
        self.sql("insert into lists values('all@example.test', 'alice@example.test'), ('all@example.test', 'bob@example.test')")

    def start(self):
        self.spawn(f"{POSTGRES}/postgres", "-D", "db", "-p", str(self.port), "-k", str(self.folder), "-c", "fsync=off",
                   "-c", "listen_addresses=127.0.0.1")
        wait_until(lambda: self.try_sql("select 1", "postgres"), 30, "PostgreSQL")

    def sql(self, text, database="mail"):
        return self.run(f"{POSTGRES}/psql", "-h", str(self.folder), "-p", str(self.port), "-U", "mail", "-qAtc", text, database,
                        env={"PGPASSWORD": "secret", "PATH": os.environ["PATH"]}).stdout

    def try_sql(self, text, database):
        try:
            self.sql(text, database)
        except subprocess.CalledProcessError:
            return False
        return True


@pytest.fixture
def postgres(tmp_path):
    if POSTGRES is None:
        pytest.skip("not here: PostgreSQL")
    server = Postgres(tmp_path / "postgres")
    yield server
    server.stop(signal.SIGINT)


class Redis(Server):
    def __init__(self, folder):
        super().__init__(folder, "redis" if user_exists("redis") else "nobody")
        self.start()

    def start(self):
        self.spawn(REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.folder / "socket"), "--unixsocketperm",
                   "777", "--save", "", "--requirepass", "secret")

    def command(self, *words):
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            for each in (("AUTH", "secret"), words):
                s.sendall(b"*%d\r\n" % len(each) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in each))
                got = s.recv(65536)
            return got


def user_exists(name):
    return any(line.startswith(name + ":") for line in open("/etc/passwd"))


@pytest.fixture
def redis(tmp_path):
    if REDIS is None:
        pytest.skip("not here: redis-server")
    server = Redis(tmp_path / "redis")
    yield server
    server.stop()


class SocketMap:
    """Speaks the protocol by a dict; a function as its value is called with the connection."""

    def __init__(self, values):
        self.values, self.asked = values, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        data = b""
        while True:
            got = c.recv(4096)
            data += got
            if not got:
                return
            while b":" in data and len(data) > int(data.split(b":")[0]) + len(data.split(b":")[0]) + 1:
                n, rest = data.split(b":", 1)
                said, data = rest[:int(n)], rest[int(n) + 1:]
                self.asked.append(said)
                answer = self.values.get(said.decode("latin-1"), b"NOTFOUND ")
                if callable(answer):
                    answer(c)
                    return
                c.sendall(b"%d:%s," % (len(answer), answer))


def credentials(suite, *lines):
    path = suite.folder / "credentials"
    path.write_text("".join(line + "\n" for line in lines))
    path.chmod(0o600)
    if suite.as_root:
        shutil.chown(path, "root", "postern-authd")
        path.chmod(0o640)
    suite.settings += f'credentials "{path}"\n'


def ask(suite, table, key, use="in"):
    rows = json.loads(suite.postern("table", "test", table, key, "--json").stdout)
    return next((r["answer"], r["value"], r["why"]) for r in rows if r["use"] == use)


def test_postgresql(suite, postgres):
    credentials(suite, "database: mail secret")
    block = f'server "127.0.0.1:{postgres.port}"  database mail  login database  keep 1s  keep-no 1s'
    suite.tables += f'table people postgresql {{ {block}\n query "select target from people where address = ?" }}\n' \
        f'table lists postgresql {{ server "{postgres.folder}/.s.PGSQL.{postgres.port}"  database mail  login database\n' \
        ' query "select member from lists where name = ? order by 1" }\n' \
        f'table slow postgresql {{ {block}  timeout 2s\n query "select \'x\' from pg_sleep(60) where ? <> \'\'" }}\n' \
        f'table wrong postgresql {{ {block}\n query "select nothing from nowhere where x = ?" }}\n'
    suite.routes = "\talias people\n\talias lists\n" + suite.routes
    suite.start()
    c = stranger(suite)
    c.message("you@elsewhere.test", "info@example.test")
    suite.wait_messages("alice@example.test")
    c.message("you@elsewhere.test", "all@example.test")
    suite.wait_messages("bob@example.test")
    assert rcpt(suite, "nobody@example.test").startswith("550")
    assert ask(suite, "lists", "all@example.test") == ("yes", "alice@example.test,bob@example.test", "")
    assert ask(suite, "people", "null@example.test") == ("yes", "", "")
    for key in SQL_KEYS:
        row("M01", f"postgresql-{key}", ask(suite, "people", key)[0] == "no")
    row("M01", "postgresql-utf8", rcpt(suite, "caf\u00e9@example.test".encode().decode("latin-1"))[0] in "45")
    assert postgres.sql("select count(*) from people").strip() == "2"
    answer, _, why = ask(suite, "slow", "x")
    assert answer == "unknown" and "statement timeout" in why
    answer, _, why = ask(suite, "wrong", "x")
    assert answer == "unknown" and "nowhere" in why
    # a change is seen when the answer's time is over
    postgres.sql("update people set target = 'bob@example.test' where address = 'info@example.test'")
    turn_clock(suite, 2)
    assert ask(suite, "people", "info@example.test")[:2] == ("yes", "bob@example.test")


def test_postgresql_goes_and_comes(suite, postgres):
    """Down: 451, whatever is not known yet; there again: as before, and nothing was restarted."""
    credentials(suite, "database: mail secret", "stranger: mail wrong")
    block = f'server "127.0.0.1:{postgres.port}"  database mail  keep 1s  keep-no 1s\n query "select target from people where address = ?"'
    suite.tables += f'table people postgresql {{ {block}  login database }}\ntable shut postgresql {{ {block}  login stranger }}\n'
    suite.routes = "\talias people\n" + suite.routes
    suite.start()
    assert rcpt(suite, "info@example.test").startswith("250")
    answer, _, why = ask(suite, "shut", "x")
    assert answer == "unknown" and "password authentication failed" in why
    before = suite.pids("lookup")
    postgres.stop(signal.SIGINT)
    turn_clock(suite, 2)
    assert rcpt(suite, "info@example.test").startswith("451")
    assert rcpt(suite, "alice@example.test").startswith("451")
    postgres.start()
    turn_clock(suite, 60)
    assert rcpt(suite, "info@example.test").startswith("250")
    # a server that was restarted behind our back is met by a new connection
    postgres.stop(signal.SIGINT)
    postgres.start()
    turn_clock(suite, 2)
    assert rcpt(suite, "info@example.test").startswith("250")
    assert suite.pids("lookup") == before
    # one that does not answer any more: the time is bounded
    postgres.process.send_signal(signal.SIGSTOP)
    try:
        for pid in children_of(postgres.process.pid):
            os.kill(pid, signal.SIGSTOP)
        turn_clock(suite, 2)
        assert rcpt(suite, "info@example.test").startswith("451")
    finally:
        for pid in [*children_of(postgres.process.pid), postgres.process.pid]:
            os.kill(pid, signal.SIGCONT)


def children_of(pid):
    return [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]


def test_a_lookup_that_crashes(suite, postgres):
    """451 while it is gone, then another one; no other table notices."""
    credentials(suite, "database: mail secret")
    block = f'server "127.0.0.1:{postgres.port}"  database mail  login database  keep 1s\n query "select target from people where address = ?"'
    suite.tables += f"table one postgresql {{ {block} }}\ntable two postgresql {{ {block} }}\n"
    suite.routes = "\talias one if recipient.local == \"info\"\n" + suite.routes
    suite.start()
    assert rcpt(suite, "info@example.test").startswith("250") and ask(suite, "two", "info@example.test")[0] == "yes"
    first, second = suite.pids("lookup")
    os.kill(first, signal.SIGSEGV)
    turn_clock(suite, 2)
    wait_until(lambda: ask(suite, "one", "info@example.test")[0] == "yes" and ask(suite, "two", "info@example.test")[0] == "yes", 60,
               "both tables")
    row("M02", "lookup-crash", len(suite.pids("lookup")) == 2 and (first in suite.pids("lookup")) != (second in suite.pids("lookup")))


def test_redis(suite, redis):
    credentials(suite, "cache: default secret")
    redis.command("SET", "alias:info@example.test", "alice@example.test, bob@example.test")
    redis.command("HSET", "domains", "example.test", "yes")
    redis.command("LPUSH", "alias:list@example.test", "x")
    redis.command("SET", "alias:big@example.test", "x" * 70000)
    suite.tables += f'table aliases redis {{ server "127.0.0.1:{redis.port}"  login cache  get "alias:?"  keep 1s  keep-no 1s }}\n' \
        f'table domains redis {{ server "{redis.folder}/socket"  login cache  hget "domains" "?" }}\n' \
        f'table shut redis {{ server "127.0.0.1:{redis.port}"  get "?" }}\n'
    suite.policy = 'policy rcpt {\n\treject "not ours" if recipient.domain not in domains\n}\n'
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()
    stranger(suite).message("you@elsewhere.test", "info@example.test")
    suite.wait_messages("alice@example.test")
    suite.wait_messages("bob@example.test")
    assert "not ours" in rcpt(suite, "x@other.test")
    assert rcpt(suite, "list@example.test").startswith("451") and rcpt(suite, "big@example.test").startswith("451")
    answer, _, why = ask(suite, "shut", "x")
    assert answer == "unknown" and "NOAUTH" in why
    before = redis.command("DBSIZE")
    for key in ("x\r\nFLUSHALL", "x\r\n*1\r\n$8\r\nFLUSHALL\r\n", "*", "info@example.test ", "?"):
        row("M01", f"redis-{key!r}", ask(suite, "aliases", key)[0] == "no")
    assert redis.command("DBSIZE") == before
    if suite.as_root:
        assert "lookup" in suite.postern("sandbox", "verify").stdout
    redis.stop()
    turn_clock(suite, 2)
    assert rcpt(suite, "info@example.test").startswith("451")
    redis.start()
    redis.command("SET", "alias:info@example.test", "bob@example.test")
    turn_clock(suite, 60)
    assert ask(suite, "aliases", "info@example.test") == ("yes", "bob@example.test", "")


# ---- TLS ----


def certificate_of(server, stem, names, expired=False):
    """One that the user of that server may read, with its key; good for 127.0.0.1 and not for localhost."""
    certificate, key = make_certificate(server.folder, names, stem)
    if expired:
        request = subprocess.run(["openssl", "x509", "-x509toreq", "-in", certificate, "-signkey", key, "-copy_extensions", "copyall"], check=True,
                                 capture_output=True).stdout
        subprocess.run(["openssl", "x509", "-req", "-signkey", key, "-days", "-1", "-copy_extensions", "copyall", "-out", certificate],
                       input=request, check=True, capture_output=True)
    if ROOT:
        for path in (certificate, key):
            shutil.chown(path, server.user[2])
    return certificate, key


def unknown(suite, table, why):
    """Temporary, with a line that says why."""
    answer, _, said = ask(suite, table, "info@example.test")
    suite.wait_log(rf"lookup-unavailable table={table} .*why=\".*{why}")
    row("A4", f"tls-{table}", answer == "unknown" and bool(re.search(why, said)))


def test_postgresql_by_tls(suite, postgres):
    """Verified by name and certificate, or not asked; what each of them knows is a question that never leaves this host in clear."""
    good, old = certificate_of(postgres, "good", ("db.example.test",)), certificate_of(postgres, "old", ("db.example.test",), expired=True)
    client, key = make_certificate(suite.folder, ("certified",), "client")
    postgres.sql("create role certified login")
    postgres.sql("grant select on people to certified")
    shutil.copy(client, postgres.folder / "client.pem")
    (postgres.folder / "db" / "pg_hba.conf").write_text(
        "local all all scram-sha-256\nhostssl all certified 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 scram-sha-256\n")

    def serve(pair):
        with open(postgres.folder / "db" / "postgresql.conf", "a") as conf:
            conf.write("ssl = off\n" if pair is None else f"ssl = on\nssl_cert_file = '{pair[0]}'\nssl_key_file = '{pair[1]}'\n"
                       f"ssl_ca_file = '{postgres.folder}/client.pem'\n")
        postgres.process.send_signal(signal.SIGHUP)
        wait_until(lambda: postgres.sql("show ssl_cert_file" if pair else "show ssl").strip() == (str(pair[0]) if pair else "off"), 30, "the new settings")

    serve(good)
    credentials(suite, "database: mail secret", "certified: certified unused")
    here, there = f'server "127.0.0.1:{postgres.port}"', f'server "localhost:{postgres.port}"'
    trusted = f'tls verified  tls-ca "{good[0]}"'
    blocks = {"secure": f"{here}  {trusted}", "shown": f'{here}  {trusted}  tls-certificate "{client}"  tls-key "{key}"',
              "name": f"{there}  {trusted}", "stranger": f"{here}  tls verified  tls-ca \"{suite.certificate}\"", "clear": f"{here}  tls off",
              "nobody": f"{here}  {trusted}", "expired": f'{here}  tls verified  tls-ca "{old[0]}"', "plain": f"{here}  {trusted}"}
    suite.tables += "".join(
        f"table {name} postgresql {{ {block}  database mail  login {'certified' if name in ('shown', 'nobody') else 'database'}  keep 1s  keep-no 1s\n"
        ' query "select target from people where address = ?" }\n' for name, block in blocks.items())
    suite.start()
    for name in ("secure", "shown"):
        assert ask(suite, name, "info@example.test") == ("yes", "alice@example.test", ""), name
    row("A4", "tls-long-keys", ask(suite, "secure", "x" * 900 + "@example.test")[0] == "no")
    # in several records, and more than libpq takes at once
    for size in (17000, 60000):
        postgres.sql(f"insert into people values('long{size}@example.test', repeat('x', {size}))")
        row("A4", f"tls-long-{size}", ask(suite, "secure", f"long{size}@example.test")[:2] == ("yes", "x" * 8000))  # what is shown of it
    unknown(suite, "name", "[Hh]ostname mismatch")
    unknown(suite, "stranger", "not good: self.signed certificate")
    unknown(suite, "clear", "no encryption")
    unknown(suite, "nobody", "client certificate")
    # only who asks with it has the key; each has what it trusts
    held = sorted(sum("memfd:postern-file" in os.readlink(link) for link in glob.glob(f"/proc/{pid}/fd/*")) for pid in suite.pids("lookup"))
    row("N06", "key-of-one-table", held == [0, 1, 1, 1, 1, 1, 1, 3])
    if suite.as_root:
        assert "lookup" in suite.postern("sandbox", "verify").stdout
    serve(old)
    unknown(suite, "expired", "certificate has expired")
    serve(None)
    unknown(suite, "plain", "speaks no TLS")


def test_redis_by_tls(suite, redis):
    """The same of a server that takes nobody without a certificate."""
    good, old = certificate_of(redis, "good", ("cache.example.test",)), certificate_of(redis, "old", ("cache.example.test",), expired=True)
    client, key = make_certificate(suite.folder, ("postern",), "client")
    shutil.copy(client, redis.folder / "client.pem")
    port, old_port = free_ports(2)
    redis.command("SET", "info@example.test", "alice@example.test")
    redis.command("CONFIG", "SET", "tls-ca-cert-file", str(redis.folder / "client.pem"), "tls-cert-file", str(good[0]), "tls-key-file", str(good[1]),
                  "tls-port", str(port))
    credentials(suite, "cache: default secret")
    shown = f'tls-certificate "{client}"  tls-key "{key}"'
    trusted = f'server "127.0.0.1:{port}"  tls implicit  tls-ca "{good[0]}"'
    blocks = {"secure": f"{trusted}  {shown}", "nobody": trusted, "name": f"{trusted}  {shown}".replace("127.0.0.1", "localhost"),
              "stranger": f'server "127.0.0.1:{port}"  tls implicit  tls-ca "{suite.certificate}"  {shown}',
              "plain": f'server "127.0.0.1:{redis.port}"  tls implicit  tls-ca "{good[0]}"  timeout 1s', "clear": f'server "127.0.0.1:{port}"',
              "expired": f'server "127.0.0.1:{old_port}"  tls implicit  tls-ca "{old[0]}"  {shown}'}
    suite.settings += "log_level debug\n"
    suite.tables += "".join(f'table {name} redis {{ {block}  login cache  get "?"  keep 1s  keep-no 1s }}\n' for name, block in blocks.items())
    suite.start()
    assert ask(suite, "secure", "info@example.test") == ("yes", "alice@example.test", "")
    unknown(suite, "nobody", "certificate required")
    unknown(suite, "name", "[Hh]ostname mismatch")
    unknown(suite, "stranger", "not good: self.signed certificate")
    unknown(suite, "plain", "did not answer in time")  # it waits for the end of a line
    unknown(suite, "clear", "ended the connection")
    redis.command("CONFIG", "SET", "tls-cert-file", str(old[0]), "tls-key-file", str(old[1]), "tls-port", str(old_port))
    unknown(suite, "expired", "certificate has expired")
    # another file in the place of the trusted one is taken up, without a word of the operator
    redis.command("CONFIG", "SET", "tls-cert-file", str(good[0]), "tls-key-file", str(good[1]), "tls-port", str(port))
    shutil.copy(suite.certificate, good[0])
    settle(suite)
    suite.wait_log("files-taken-up")
    wait_until(lambda: "self-signed" in ask(suite, "secure", "another@example.test")[2], 60, "a lookup that trusts another")
    good[0].write_text("no certificate\n")
    done = suite.postern("reload", check=False)
    row("A4", "tls-ca-of-nobody", done.returncode != 0 and "no trusted certificate" in done.stderr)


def test_socketmap(suite):
    def endless(c):
        c.sendall(b"99999:" + b"x" * 1000)

    def silent(_):
        time.sleep(60)

    server = SocketMap({"virtual info@example.test": b"OK alice@example.test", "virtual slow@example.test": silent,
                        "virtual endless@example.test": endless, "virtual more@example.test": lambda c: c.sendall(b"2:OK,2:OK,"),
                        "virtual temp@example.test": b"TEMP not now", "virtual close@example.test": lambda c: c.close(),
                        "virtual huge@example.test": b"OK " + b"x" * 65590, "other info@example.test": b"OK bob@example.test",
                        "virtual meta@example.test": b"OK $(id) {local} `id`"})
    suite.tables += f'table virtual socketmap {{ server "127.0.0.1:{server.port}"  map virtual  timeout 2s  keep 30m }}\n' \
        f'table other socketmap {{ server "127.0.0.1:{server.port}"  map other }}\n' \
        f'table members socketmap {{ server "127.0.0.1:{server.port}"  map members }}\n' \
        f'table long {{\n\tall@example.test: {", ".join(f"m{n}@example.test" for n in range(2000))}\n}}\n'
    server.values.update({f"members m{n}@example.test": b"OK yes" for n in range(2010)})
    suite.routes = "\talias virtual\n\talias long\n\tdiscard if recipient in members\n" + suite.routes
    suite.start()
    stranger(suite).message("you@elsewhere.test", "info@example.test")
    suite.wait_messages("alice@example.test")
    assert rcpt(suite, "nobody@example.test").startswith("550")
    # each member of a long list is a key, and nobody is refused meanwhile
    lists, others = [], []

    def send():
        c = stranger(suite)
        c.expect(250, "MAIL FROM:<you@elsewhere.test>")
        c.expect(250, "RCPT TO:<all@example.test>")
        c.expect(354, "DATA")
        lists.append(c.command("Subject: to all\r\n\r\nhello\r\n.")[:3])
        c.close()

    threads = [threading.Thread(target=send) for _ in range(3)]
    for t in threads:
        t.start()
    for n in range(2000, 2010):
        others.append(rcpt(suite, f"m{n}@example.test")[:3])
    for t in threads:
        t.join()
    assert lists == ["250"] * 3 and set(others) == {"250"}, (lists, others)
    for local in ("slow", "endless", "temp", "close", "huge"):
        assert rcpt(suite, f"{local}@example.test").startswith("451"), local
        turn_clock(suite, 60)  # what it rests after a failure
    row("M03", "socketmap", ask(suite, "virtual", "meta@example.test")[:2] == ("yes", "$(id) {local} `id`"))
    # what one table says of a key is not what another says, and is kept for its time
    row("M04", "another-table", ask(suite, "other", "info@example.test")[1] == "bob@example.test" and
        ask(suite, "virtual", "info@example.test")[1] == "alice@example.test")
    server.values["virtual info@example.test"] = b"OK bob@example.test"
    turn_clock(suite, 600)
    assert ask(suite, "virtual", "info@example.test")[1] == "alice@example.test"
    turn_clock(suite, 1300)
    assert ask(suite, "virtual", "info@example.test")[1] == "bob@example.test"
    # and a new configuration keeps nothing of the one before
    server.values["virtual info@example.test"] = b"OK alice@example.test"
    suite.postern("reload")
    row("M04", "another-generation", ask(suite, "virtual", "info@example.test")[1] == "alice@example.test")
    # its processes and their connections stay, with what they were opened with: nothing of it may be in memory that others use by now
    pids, whole = sorted(suite.pids("lookup")), suite.tables
    for others in (20, 40, 60):
        suite.tables = whole.replace('"example.test"', '"example.test" ' + " ".join(f'"{n}.other.test"' for n in range(others)), 1)
        suite.write_conf()
        suite.postern("reload")
        assert ask(suite, "virtual", "info@example.test")[1] == "alice@example.test", server.asked[-2:]
    assert sorted(suite.pids("lookup")) == pids
    assert {said.split(b" ")[0] for said in server.asked} == {b"virtual", b"other", b"members"}


def test_other_tables_after_a_reload(suite):
    """The map and the server of a table change: other processes ask, and mail flows on."""
    one, two = SocketMap({"a x": b"OK one"}), SocketMap({"a x": b"OK two", "b x": b"OK b"})
    plain = suite.tables
    suite.tables = plain + f'table t socketmap {{ server "127.0.0.1:{one.port}"  map a }}\n'
    suite.start()
    assert ask(suite, "t", "x")[1] == "one"
    suite.tables = plain + f'table more socketmap {{ server "127.0.0.1:{two.port}"  map b }}\ntable t socketmap {{ server "127.0.0.1:{two.port}"  map a }}\n'
    suite.write_conf()
    suite.postern("reload")
    wait_until(lambda: ask(suite, "t", "x")[1] == "two" and ask(suite, "more", "x")[1] == "b", 30, "the new tables")
    suite.tables = plain
    suite.write_conf()
    suite.postern("reload")
    wait_until(lambda: suite.pids("lookup") == [], 30, "no lookup")
    assert rcpt(suite, "alice@example.test").startswith("250")


def test_ldap(suite, directory):
    """A directory over StartTLS, ldaps and a Unix socket; by a login, by EXTERNAL, and what a key may not do to a filter."""
    credentials(suite, f"searcher: cn=search,{SUFFIX} {SEARCHER}", f"wrong: cn=search,{SUFFIX} nonsense")
    common = f'base "{SUFFIX}"  filter "(mail=?)"  attribute cn  keep 1s  keep-no 1s'
    blocks = {
        "starttls": f'server "127.0.0.1:{directory.port}"  tls verified  tls-ca "{directory.certificate}"  login searcher  object-class uidObject',
        "ldaps": f'server "127.0.0.1:{directory.tls_port}"  tls implicit  tls-ca "{directory.certificate}"  login searcher',
        "socket": f'server "{directory.socket}"  login searcher',
        "external": f'server "{directory.socket}"  external yes',
        "shown": f'server "localhost:{directory.tls_port}"  tls implicit  tls-ca "{directory.certificate}"  external yes\n'
                 f'tls-certificate "{directory.client[0]}"  tls-key "{directory.client[1]}"',
        "name": f'server "127.0.0.2:{directory.tls_port}"  tls implicit  tls-ca "{directory.certificate}"  login searcher',
        "classes": f'server "{directory.socket}"  login searcher',
        "shut": f'server "{directory.socket}"  login wrong',
        "untrusted": f'server "localhost:{directory.tls_port}"  tls implicit  login searcher',
    }
    by_class = common.replace("(mail=?)", "(&(objectClass=uidObject)(mail=?))")
    suite.tables += "".join(f"table {name} ldap {{ {block}\n {by_class if name == 'classes' else common} }}\n" for name, block in blocks.items())
    suite.policy = 'policy rcpt {\n\treject "not in the directory" if recipient not in starttls\n}\n'
    suite.start()
    assert rcpt(suite, "alice@example.test").startswith("250")
    assert "not in the directory" in rcpt(suite, "bob@example.test")  # of another class
    assert "not in the directory" in rcpt(suite, "nobody@example.test")
    assert ask(suite, "starttls", "alice@example.test") == ("yes", "alice", "")
    for name in ("ldaps", "socket"):
        assert ask(suite, name, "bob@example.test") == ("yes", "bob", ""), name
        assert ask(suite, name, "twins@example.test") == ("yes", "twin1,twin2", ""), name
    assert ask(suite, "external", "bob@example.test") == ("yes", "bob", "")  # to slapd: the user that connected
    assert ask(suite, "shown", "bob@example.test") == ("yes", "bob", "")  # to slapd: the certificate
    assert ask(suite, "name", "x")[0] == "unknown" and "mismatch" in ask(suite, "name", "x")[2]
    # a class that the filter asks for
    assert ask(suite, "classes", "alice@example.test") == ("yes", "alice", "") and ask(suite, "classes", "bob@example.test")[0] == "no"
    assert ask(suite, "shut", "x")[0] == "unknown" and "Invalid credentials" in ask(suite, "shut", "x")[2]
    assert ask(suite, "untrusted", "x")[0] == "unknown" and "TLS" in ask(suite, "untrusted", "x")[2]
    for key in ("*", "alice*", "alice@example.test)(cn=*", "x)(mail=alice@example.test", "\\2a", "(|(mail=*))"):
        row("M01", f"ldap-{key}", ask(suite, "ldaps", key)[0] == "no")
    directory.stop()
    turn_clock(suite, 2)
    assert rcpt(suite, "alice@example.test").startswith("451")
    directory.start()
    turn_clock(suite, 60)
    assert rcpt(suite, "alice@example.test").startswith("250")
