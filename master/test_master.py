#!/usr/bin/env python3
"""The master with a whole suite of stubs: start, restart, reload, stop, and what is left when it is killed.

usage: test_master.py MASTER STUB"""
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MASTER, STUB = map(pathlib.Path, sys.argv[1:3])
ROLES = "gate smtpd queue policyd relay local authd keyd resolver dial log".split()
PROCESSES = len(ROLES) + 2  # two workers each of smtpd and relay
ROOT = os.getuid() == 0
CONF = """hostname {hostname}
postmaster alice@example.test
spool {folder}/spool
runtime {folder}/run
user_prefix {prefix}
smtpd_workers {workers}
listen 127.0.0.1:{port} {{ role mx  tls off }}
table our_domains {{ "example.test" }}
{more}
route {{
	deliver mailboxes if recipient.domain in our_domains
	relay internet
}}
transport mailboxes {{ maildir "{folder}/mail/{{domain}}/{{local}}/" user nobody }}
transport internet {{ smtp mx  tls optional }}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait(what, seconds, name):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {name}")


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def anything_runs(folder):
    """Of the programs beneath it."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if pathlib.Path(os.readlink(f"/proc/{pid}/exe")).is_relative_to(folder):
                return True
        except OSError:
            pass
    return False


def is_alive(pid):
    try:
        return not status(pid)["State"].startswith("Z")
    except OSError:
        return False


class Suite:
    all = []
    process = None

    def __init__(self, user=None, options=(), environment=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-master-"))
        self.folder.chmod(0o755)
        self.libexec = self.folder / "libexec"
        self.libexec.mkdir()
        (self.folder / "mail").mkdir()
        Suite.all.append(self)
        shutil.copy(STUB, self.libexec / "stub")
        for role in ROLES:
            (self.libexec / f"postern-{role}").symlink_to("stub")
        self.user, self.options, self.environment = user, options, environment or {}
        self.port = free_port()
        self.write()
        if user:
            shutil.chown(self.folder, user)

    def write(self, hostname="mx.example.test", more="", workers=2):
        prefix = "postern" if subprocess.run(["getent", "passwd", "postern-smtpd"], capture_output=True).returncode == 0 \
            else "nobody"
        (self.folder / "postern.conf").write_text(CONF.format(hostname=hostname, folder=self.folder, port=self.port,
                                                              more=more, workers=workers, prefix=prefix))

    def launch(self, **extra):
        command = [MASTER, "-F", "-c", "postern.conf", "--libexec", self.libexec, *self.options]
        if self.user:
            command = ["setpriv", "--reuid", self.user, "--regid", str(pwd.getpwnam(self.user).pw_gid), "--clear-groups", *command]
        self.out = open(self.folder / "out", "wb")
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.out, stdin=subprocess.DEVNULL, cwd=self.folder,
                                        env={**os.environ, **self.environment}, **extra)
        return self

    def start(self, **extra):
        self.launch(**extra)
        self.wait_log(r"^ready$", 20)
        return self

    def log(self):
        return (self.folder / "out").read_text(errors="replace")

    def wait_log(self, pattern, seconds=10, start=0):
        def seen():
            found = re.search(pattern, self.log()[start:], re.M)
            if not found and self.process.poll() is not None:
                raise AssertionError(f"the master ended with {self.process.returncode}:\n{self.log()}")
            return found
        try:
            return wait(seen, seconds, pattern)
        except AssertionError:
            print(self.log())
            raise

    def children(self):
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):  # a glob looks whether they are there, and breaks at one that ends
            stat = pathlib.Path("/proc", pid, "stat")
            try:
                text = stat.read_text()
                if int(text.rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    name = (stat.parent / "cmdline").read_bytes().split(b"\0")
                    found[int(stat.parent.name)] = (name[0].decode().removeprefix("postern-"), int(name[2] or 0))
            except (OSError, ValueError, IndexError):
                pass
        return found

    def pid_of(self, role, instance=0):
        return next((pid for pid, who in self.children().items() if who == (role, instance)), None)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        assert not self.children(), "children outlived the master"
        shutil.rmtree(self.folder)
        return code


def test_starts_and_stops():
    suite = Suite().start()
    assert len(suite.children()) == PROCESSES, suite.children()
    for role in ROLES:
        suite.wait_log(rf"child-ready role={role} instance=0")
    log_length = len(suite.log())
    suite.process.send_signal(signal.SIGTERM)
    assert suite.process.wait(20) == 0
    ends = re.findall(r"child-ended role=(\w+) .*how=\"?exit 0", suite.log()[log_length:])
    assert len(ends) == PROCESSES, ends
    assert ends.index("queue") > max(ends.index("gate"), ends.index("smtpd")) and ends[-1] == "log", ends
    shutil.rmtree(suite.folder)


def test_cages():
    suite = Suite().start()
    for pid, (role, _) in suite.children().items():
        s = status(pid)
        assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2" and int(s["CapEff"], 16) == 0 == int(s["CapPrm"], 16), (role, s)
        if ROOT:
            assert set(s["Uid"].split()) != {"0"}, role
            assert os.readlink(f"/proc/{pid}/root") != "/", role
    s = status(suite.process.pid)
    # CAP_SETGID CAP_SETUID CAP_NET_BIND_SERVICE CAP_SYS_CHROOT, and no more
    assert int(s["CapEff"], 16) & ~(1 << 6 | 1 << 7 | 1 << 10 | 1 << 18) == 0, s["CapEff"]
    assert s["NoNewPrivs"] == "1"
    suite.stop()


def test_restart():
    suite = Suite().start()
    for role in ROLES:
        old = suite.pid_of(role)
        at = len(suite.log())
        os.kill(old, signal.SIGKILL)
        suite.wait_log(rf"child-ready role={role} instance=0 child=(?!{old} )", 10, at)
        assert suite.pid_of(role) not in (None, old)
    assert len(suite.children()) == PROCESSES
    assert suite.stop() == 0


def test_reload():
    suite = Suite().start()
    suite.write(hostname="other.example.test", workers=3)
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log(r"reloaded generation=2")
    wait(lambda: suite.pid_of("smtpd", 2), 5, "the third worker")
    at = len(suite.log())
    suite.write(hostname="other.example.test", workers=1)
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log(r"reloaded generation=3", 10, at)
    wait(lambda: not suite.pid_of("smtpd", 2) and not suite.pid_of("smtpd", 1), 5, "the end of two workers")
    at = len(suite.log())
    suite.write(hostname="third.example.test", workers=2)
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log(r"child-ready role=smtpd instance=1", 10, at)
    assert suite.stop() == 0


def test_reload_refused():
    suite = Suite().start()
    before = suite.children()
    for change, said in [({"more": "lisen 1\n"}, r"lisen"), ({"hostname": "refused.example.test"}, "stub refuses this hostname"),
                         ({"more": 'table t file "/no/such/folder/file"\n'}, "cannot open /no/such/folder")]:
        at = len(suite.log())
        suite.write(**change)
        suite.process.send_signal(signal.SIGHUP)
        suite.wait_log(rf"reload-refused generation=1 .*{said}", 10, at)
    at = len(suite.log())
    suite.write()
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log(r"reloaded generation=5", 10, at)
    assert suite.children() == before, "a refused reload cost a process"
    suite.stop()


def test_reload_listener():
    suite = Suite().start()
    old, suite.port = suite.port, free_port()
    suite.write()
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log(r"reloaded generation=2")
    socket.create_connection(("127.0.0.1", suite.port), 5).close()
    suite.stop()
    assert old != suite.port


def test_reload_new_folder():
    suite = Suite().start()
    folder = suite.folder / "tables"
    folder.mkdir()
    (folder / "t").write_text("a\n")
    before = suite.pid_of("policyd")
    # What has to be started anew is checked before, by a process beside it.
    for hostname, said in [("refused-policyd.example.test", "stub refuses this hostname"),
                           ("crash-policyd.example.test", "a new policyd.* does not start")]:
        suite.write(hostname=hostname, more=f'table t file "{folder}/t"\n')
        at = len(suite.log())
        suite.process.send_signal(signal.SIGHUP)
        suite.wait_log(rf"reload-refused generation=1 .*{said}", 10, at)
        assert suite.pid_of("policyd") == before and "restart-for-reload" not in suite.log()
        wait(lambda: len(suite.children()) == PROCESSES, 5, "the end of the one that checked")
    suite.write(more=f'table t file "{folder}/t"\n')
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log(r"restart-for-reload role=policyd")
    wait(lambda: suite.pid_of("policyd") not in (None, before), 5, "the new policyd")
    suite.stop()


def test_mistakes_at_start():
    suite = Suite()
    suite.write(more="lisen 25\nlisten :99999999 { }\n")
    suite.launch()
    assert suite.process.wait(20) == 78
    assert re.search(r"postern.conf:\d+:\d+: ", suite.log()) and "lisen" in suite.log(), suite.log()
    suite.write(hostname="refused.example.test")
    suite.launch()
    assert suite.process.wait(20) == 78
    assert "stub refuses this hostname" in suite.log(), suite.log()
    (suite.folder / "postern.conf").unlink()
    suite.launch()
    assert suite.process.wait(20) == 78
    assert "postern.conf" in suite.log(), suite.log()
    shutil.rmtree(suite.folder)


def test_name_service_away():
    """Who a `user` is may be known a moment later: whoever supervises us is to try again, as he is not after a mistake."""
    if not ROOT or "libasan" in subprocess.run(["ldd", MASTER], capture_output=True, text=True).stdout:
        return
    suite = Suite(environment={"LD_PRELOAD": str(STUB.parent / "no_names.so")}).launch()
    assert suite.process.wait(20) == 75
    assert "transport mailboxes: it cannot be found out now who its `user` is" in suite.log(), suite.log()
    suite.write(more="lisen 25\n")
    suite.launch()
    assert suite.process.wait(20) == 78
    shutil.rmtree(suite.folder)


def test_port_taken():
    suite = Suite()
    with socket.socket() as other:
        other.bind(("127.0.0.1", suite.port))
        other.listen()
        suite.launch()
        assert suite.process.wait(20) == 78
    assert "another program has this port" in suite.log(), suite.log()
    shutil.rmtree(suite.folder)


def test_killed_master():
    suite = Suite().start()
    pids = list(suite.children())
    suite.process.kill()
    suite.process.wait()
    wait(lambda: not any(map(is_alive, pids)), 1, "the end of all children")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", suite.port))
    suite.start()
    suite.stop()


def test_notify():
    folder = tempfile.mkdtemp()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(f"{folder}/notify")
        s.settimeout(10)
        suite = Suite(environment={"NOTIFY_SOCKET": f"{folder}/notify"}).start()
        assert s.recv(500) == b"STATUS=ready" and s.recv(500) == b"READY=1"
        suite.process.send_signal(signal.SIGHUP)
        assert s.recv(500).startswith(b"RELOADING=1\nMONOTONIC_USEC=") and s.recv(500) == b"READY=1"
        suite.stop()
        assert s.recv(500) == b"STOPPING=1"
    shutil.rmtree(folder)


def test_watchdog():
    """A child that is stopped is started anew; when all is stopped, the master too, nobody is to blame."""
    suite = Suite()
    suite.write(more="watchdog 2s\n")
    suite.start()
    pids = [suite.process.pid, *suite.children()]
    before = suite.children()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)  # twice the patience: that is what is tested
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    at = len(suite.log())
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log("reloaded generation=2", 10, at)
    assert "child-hangs" not in suite.log() and suite.children() == before, suite.log()
    for role in ["queue", "smtpd", "gate"]:
        old = suite.pid_of(role)
        at = len(suite.log())
        os.kill(old, signal.SIGSTOP)
        suite.wait_log(rf"child-hangs role={role} instance=0 child={old} ", 20, at)
        suite.wait_log(rf"child-ready role={role} instance=0", 20, at)
    at = len(suite.log())
    suite.write(more="watchdog 0\n")
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log("reloaded", 10, at)
    stopped = suite.pid_of("dial")
    os.kill(stopped, signal.SIGSTOP)
    time.sleep(4)
    assert is_alive(stopped) and "child-hangs" not in suite.log()[at:]
    os.kill(stopped, signal.SIGCONT)
    suite.stop()


def test_watchdog_of_systemd():
    """WATCHDOG=1 is said while all answer, and no more when one does not."""
    folder = tempfile.mkdtemp()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(f"{folder}/notify")
        s.settimeout(10)
        suite = Suite(environment={"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "1600000"})
        suite.write(more="watchdog 0\n")
        suite.start()
        while s.recv(500) != b"WATCHDOG=1":
            pass
        os.kill(suite.pid_of("keyd"), signal.SIGSTOP)
        s.settimeout(5)
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                assert s.recv(500) == b"WATCHDOG=1"
            raise AssertionError("it is still said")
        except TimeoutError:
            pass
        os.kill(suite.pid_of("keyd"), signal.SIGCONT)
        s.settimeout(10)
        assert s.recv(500) == b"WATCHDOG=1"
        suite.stop()
    shutil.rmtree(folder)


class Installed(Suite):
    """A suite whose programs, the master's too, are named through a link that an upgrade changes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.current = self.folder / "current"
        self.install("first")

    def install(self, name):
        folder = self.folder / name
        shutil.copytree(self.libexec, folder, symlinks=True)
        shutil.copy(MASTER, folder / "postern-master")
        self.point(name)
        return folder

    def point(self, name):
        (self.folder / "next").symlink_to(name)
        (self.folder / "next").rename(self.current)

    def launch(self, **extra):
        real, self.libexec = self.libexec, self.current
        globals()["MASTER"], kept = self.current / "postern-master", MASTER
        try:
            return super().launch(**extra)
        finally:
            self.libexec, globals()["MASTER"] = real, kept

    def upgrade(self):
        at = len(self.log())
        self.process.send_signal(signal.SIGUSR2)
        return at

    def runs_from(self):
        return {pathlib.Path(os.readlink(f"/proc/{pid}/exe")).parent.name for pid in [self.process.pid, *self.children()]}


def knock(port):
    with socket.create_connection(("127.0.0.1", port), 20):
        pass


def test_upgrade():
    suite = Installed(environment={"POSTERN_LEAK": "x"}).start()
    listener = os.stat(suite.folder / "run" / "control").st_ino
    for name in ["second", "third"]:
        suite.install(name)
        before = set(suite.children())
        at = suite.upgrade()
        while not re.search(r"^ready$", suite.log()[at:], re.M):
            knock(suite.port)  # never refused; nobody accepts here, so not more than the backlog takes
            time.sleep(0.05)
            assert suite.process.poll() is None, suite.log()
        assert suite.runs_from() == {name}, suite.runs_from()
        assert not before & set(suite.children()) and len(suite.children()) == PROCESSES
        assert os.stat(suite.folder / "run" / "control").st_ino == listener
        assert b"LEAK" not in pathlib.Path(f"/proc/{suite.process.pid}/environ").read_bytes()
    assert "upgrade-begins" in suite.log()
    at = len(suite.log())
    os.kill(suite.pid_of("queue"), signal.SIGKILL)
    suite.wait_log("child-ready role=queue", 10, at)
    at = len(suite.log())
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log("reloaded generation=2", 10, at)
    assert suite.stop() == 0


def test_upgrade_refused():
    """Broken programs, a refused configuration, one that hangs: what runs goes on, and the reason is told."""
    suite = Installed().start()
    before = suite.children()

    def refused(said):
        at = suite.upgrade()
        suite.wait_log(rf"upgrade-refused why=.*{said}", 60, at)
        knock(suite.port)
        assert suite.children() == before and suite.runs_from() == {"first"}, suite.children()

    broken = suite.install("broken")
    (broken / "postern-policyd").unlink()
    shutil.copy("/bin/false", broken / "postern-policyd")
    refused("postern-policyd does not start: exit 1")
    (broken / "postern-policyd").write_text("this is no program\n")
    refused("postern-policyd.*Exec format error")
    (broken / "postern-policyd").chmod(0o644)
    refused("postern-policyd.*Permission denied")
    (broken / "postern-master").unlink()
    refused("postern-master: No such file")
    (broken / "postern-master").write_bytes(b"\x7fELF nothing")
    (broken / "postern-master").chmod(0o755)
    refused("Exec format error")
    suite.install("good")
    suite.write(hostname="refused.example.test")
    refused("the stub refuses this hostname")
    suite.write(more="lisen 25\n")
    refused("lisen")
    suite.write()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        suite.write(more=f"listen 127.0.0.1:{other.getsockname()[1]} {{ role mx  tls off }}\n")
        refused("another program has this port")
    suite.write()
    # Killed while it restarts, a child comes back as the program that the master began with.
    at = len(suite.log())
    os.kill(suite.pid_of("keyd"), signal.SIGKILL)
    suite.wait_log("child-ready role=keyd", 10, at)
    assert suite.runs_from() == {"first"}, suite.runs_from()
    assert suite.stop() == 0


def test_upgrade_interrupted():
    """Stopped or killed in the middle: nothing is left over, and the next start is an ordinary one."""
    for sig, code in [(signal.SIGTERM, 0), (signal.SIGKILL, -9)]:
        for pattern in [None, "upgrade-begins", "child-ended role=gate", "^ready$"]:
            suite = Installed().start()
            suite.install("second")
            at = suite.upgrade()
            if pattern is not None:
                suite.wait_log(pattern, 30, at)
            suite.process.send_signal(sig)
            got = suite.process.wait(30)
            assert got == code, (sig, pattern, got, suite.log())
            wait(lambda: not anything_runs(suite.folder), 20, "the end of all, also of what was made just then")
            suite.start().stop()


def test_inherited_descriptors():
    """What stands in argv is looked at: a descriptor that is no socket of ours is closed, a number that is not open refused."""
    suite = Suite()
    suite.options = ["--inherit", "7"]
    suite.launch()
    assert suite.process.wait(20) == 64, suite.log()
    read, write = os.pipe()
    os.dup2(read, 77, inheritable=True)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    os.dup2(udp.fileno(), 78, inheritable=True)
    idle = socket.socket()
    os.dup2(idle.fileno(), 79, inheritable=True)
    os.dup2(read, 80, inheritable=True)
    suite.options = ["--inherit", "77,78,79"]
    suite.start(close_fds=False)
    for fd in (77, 78, 79):
        suite.wait_log(rf"inherited-descriptor-closed descriptor={fd}")
    ours = {os.readlink(fd) for fd in pathlib.Path(f"/proc/{suite.process.pid}/fd").iterdir()}
    assert os.readlink(f"/proc/self/fd/{read}") not in ours, ours
    knock(suite.port)
    suite.stop()
    for fd in (read, write, 77, 78, 79, 80):
        os.close(fd)
    idle.close()
    udp.close()


def test_kernel_6_1():
    suite = Suite(options=["--kernel", "61"]).start()
    suite.wait_log(r'child-ready role=keyd .*missing="(landlock )?mdwe scopes passrights"')
    suite.stop()
    suite = Suite(options=["--kernel", "61"])
    suite.write(more="sandbox_require mdwe\n")
    suite.launch()
    wait(lambda: "sandbox_require names mdwe" in suite.log(), 10, "the refusal")
    suite.stop()


def test_hostile_surroundings():
    suite = Suite(environment={"LD_LIBRARY_PATH": "/nowhere", "IFS": "x", "TMPDIR": "/nowhere"})
    suite.start(preexec_fn=lambda: (os.close(0), os.umask(0)))
    suite.wait_log("^ready$")
    for pid in suite.children():
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert b"IFS" not in environment and b"LD_LIBRARY" not in environment
        # nothing but stdio, the link to the master, and what it opened itself
        targets = [os.readlink(fd) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        assert not any("postern.conf" in t for t in targets), targets
    suite.stop()


def test_private_home():
    if not ROOT:
        return
    suite = Suite()
    (suite.folder / "home").mkdir(mode=0o700)
    inner = suite.folder / "home" / "clone"
    inner.mkdir()
    (suite.folder / "postern.conf").rename(inner / "postern.conf")
    suite.options = ["-c", str(inner / "postern.conf")]
    suite.start().stop()


def test_as_user():
    if not ROOT:
        return
    suite = Suite(user="nobody").start()
    assert len(suite.children()) == PROCESSES
    uid = status(suite.process.pid)["Uid"].split()[0]
    for pid in suite.children():
        s = status(pid)
        assert s["Uid"].split() == [uid] * 4 and s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
    at = len(suite.log())
    os.kill(suite.pid_of("queue"), signal.SIGKILL)
    suite.wait_log(r"child-ready role=queue", 10, at)
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_log(r"reloaded generation=2")
    assert suite.stop() == 0


def test_unit_capabilities():
    """With exactly the unit's capability set: no chown, no kill of another uid by right."""
    if not ROOT or not shutil.which("setpriv") or subprocess.run(["getent", "passwd", "postern-queue"],
                                                                  capture_output=True).returncode != 0:
        return
    suite = Suite()
    (suite.folder / "spool").mkdir(mode=0o700)
    shutil.chown(suite.folder / "spool", "postern-queue", "postern-queue")
    kept = "-all,+setuid,+setgid,+sys_chroot,+net_bind_service"
    command = ["setpriv", f"--bounding-set={kept}", "--inh-caps=-all", "--no-new-privs"]
    suite.launch_prefix = command
    real, globals()["MASTER"] = MASTER, suite.folder / "run-master"
    try:
        MASTER.write_text(f'#!/bin/sh\nexec {" ".join(command)} {real} "$@"\n')
        MASTER.chmod(0o755)
        suite.start()
        at = len(suite.log())
        os.kill(suite.pid_of("smtpd"), signal.SIGSTOP)  # a hung child of another uid must be killed through the helper
        suite.process.send_signal(signal.SIGTERM)
        assert suite.process.wait(40) == 0
        assert re.search(r'role=smtpd .*how="signal 9', suite.log()[at:]), suite.log()
    finally:
        globals()["MASTER"] = real
    shutil.rmtree(suite.folder)


ROWS = {"test_killed_master": "C10 killed-master", "test_kernel_6_1": "A1 kernel-6.1-suite", "test_unit_capabilities": "A3 hung-child",
        "test_hostile_surroundings": "E11 environment", "test_cages": "CAGE every-process", "test_restart": "A10 relink", "test_watchdog": "A3 watchdog", "test_upgrade": "A10 upgrade-in-place", "test_upgrade_refused": "A10 upgrade-refused",
        "test_upgrade_interrupted": "C10 killed-in-mid-upgrade", "test_inherited_descriptors": "E11 inherited-descriptors"}
failed = 0
for name, test in list(globals().items()):
    if not name.startswith("test_") or (len(sys.argv) > 3 and name not in sys.argv[3:]):
        continue
    try:
        test()
        result = "pass"
    except Exception as e:
        failed += 1
        for suite in Suite.all:
            if suite.process and suite.process.poll() is None:
                suite.process.kill()
                suite.process.wait()
            shutil.rmtree(suite.folder, ignore_errors=True)
        result = "fail"
        print(f"{name}: {type(e).__name__}: {e}")
    print(f"{'ok' if result == 'pass' else 'NOT OK'} {name}", flush=True)
    if name in ROWS:
        print(f"ROW {ROWS[name]} {result}")
sys.exit(failed != 0)
