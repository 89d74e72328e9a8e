"""The operator's command in surroundings that somebody else chose, and asked by somebody who may not."""

import os
import resource
import shutil
import signal
import subprocess

import pytest

from harness import BIN, ROOT, programs_for, row


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


@pytest.mark.skipif(not ROOT, reason="other users can be had by root only")
def test_other_users_at_the_control_socket(running):
    """L09: whoever is not root hears 77, and the queue is as it was."""
    program = programs_for("nobody") / "postern"
    for user in ("nobody", "postern-smtpd", "postern-relay"):
        for words in (["status"], ["stop"], ["upgrade"], ["queue", "retry", "all"], ["queue", "check"]):
            done = subprocess.run(["setpriv", "--reuid", user, "--regid", "65534", "--clear-groups", program, "--runtime",
                                   running.folder / "run", *words], capture_output=True, text=True, timeout=60)
            assert done.returncode in (69, 77), (user, words, done)
    row("L09", "control-socket", running.process.poll() is None and "stopping" not in running.log() and shutil.which("setpriv"))
