"""The operator's command in surroundings that somebody else chose, and asked by somebody who may not."""

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess

import pytest

from harness import BIN, ROLES, ROOT, programs_for, row


def limits(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


def gone(folder):
    def enter():
        folder.mkdir()
        os.chdir(folder)
        folder.rmdir()
    return enter


def closed():
    for fd in (0, 1, 2):
        os.close(fd)


@pytest.mark.parametrize("words", [["status"], ["queue", "list"], ["queue", "check"], ["--json", "status"]])
def test_the_command_in_hostile_surroundings(running, tmp_path, words):
    """L08: closed descriptors, a single descriptor more, no file size, no folder: it works or says so, and never dies of a signal."""
    command = [BIN / "postern", "--config", running.conf_path, *words]
    surroundings = {"stdio-closed": closed, "file-size": limits(resource.RLIMIT_FSIZE, 1), "descriptors": limits(resource.RLIMIT_NOFILE, 4),
                    "umask": lambda: os.umask(0), "folder-gone": gone(tmp_path / "gone"),
                    "signals-ignored": lambda: [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGXFSZ, signal.SIGPIPE, signal.SIGCHLD)]}
    for name, prepare in surroundings.items():
        # Not by -c: nothing of ours runs in between.
        pid = os.fork()
        if pid == 0:
            try:
                prepare()
                os.execv(command[0], [os.fspath(w) for w in command])
            finally:
                os._exit(126)
        _, status = os.waitpid(pid, 0)
        row("L08", f"{'-'.join(w.strip('-') for w in words)}-{name}", os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, 69, 75))


@pytest.mark.root
def test_the_master_in_hostile_surroundings(suite):
    """L08: no descriptor 0, umask 0, signals ignored, no file of more than 64 KiB: mail flows, a large one is 452 or 451, nobody dies."""
    suite.prefix = ["prlimit", "--fsize=65536", "sh", "-c", "umask 0; trap '' XFSZ PIPE HUP; exec \"$@\" <&-", "sh"]
    suite.start()
    before = {role: suite.pids(role) for role in ROLES}
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    c.envelope("you@elsewhere.test", "alice@example.test")
    got = c.data("Subject: large\n\n" + "a line of it\n" * 20000)
    c.message("you@elsewhere.test", "alice@example.test")
    suite.wait_messages("alice@example.test", 2)
    row("L08", "master-file-size", got.startswith(("452", "451")) and before == {role: suite.pids(role) for role in ROLES})
    open_to_all = [p for folder in ("spool", "run", "mail") for p in (suite.folder / folder).rglob("*")
                   if not p.is_symlink() and not stat.S_ISSOCK(p.stat().st_mode) and p.stat().st_mode & 0o022]
    row("L08", "master-umask", open_to_all == [])
    row("L08", "master-descriptor-0", os.readlink(f"/proc/{suite.process.pid}/fd/0") == "/dev/null")


def sockets_of(suite):
    """The names of all sockets that the suite's processes hold: a path, or nothing; `@` where there is no file behind it."""
    held = set()
    for pid in [suite.process.pid, *suite.children()]:
        with contextlib.suppress(OSError):  # one that ends just now
            for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    held.add(os.readlink(fd))
    lines = pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]
    return {line.split()[7] for line in lines if len(line.split()) > 7 and f"socket:[{line.split()[6]}]" in held}


def test_sockets_have_files(running):
    """A13: nobody can take the name of a socket of ours, and folders guard them."""
    names = sockets_of(running)
    row("A13", "no-abstract-socket", names != set() and not [n for n in names if n.startswith("@")])
    found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (running.folder / "run").rglob("*") if stat.S_ISSOCK(p.lstat().st_mode)}
    row("L09", "two-sockets", set(found) == {"control", "submission"} and found["control"] & 0o077 == 0)


@pytest.mark.skipif(not ROOT, reason="other users can be had by root only")
def test_other_users_at_the_control_socket(running):
    """L09: whoever is not root hears 77, and the queue is as it was."""
    program = programs_for("nobody") / "postern"
    for user in ("nobody", *(f"postern-{role}" for role in ROLES)):
        every = [["status"], ["stop"], ["upgrade"], ["queue", "retry", "all"], ["queue", "check"]]
        for words in every if user == "nobody" else every[:2]:
            done = subprocess.run(["setpriv", "--reuid", user, "--regid", "65534", "--clear-groups", program, "--runtime",
                                   running.folder / "run", *words], capture_output=True, text=True, timeout=60)
            assert done.returncode in (69, 77), (user, words, done)
    row("L09", "control-socket", running.process.poll() is None and "stopping" not in running.log() and shutil.which("setpriv"))
