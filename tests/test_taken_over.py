"""Each live process is made to do what somebody would who had taken it over; what became of each deed stands in a checked-in table."""

import contextlib
import os
import pathlib
import pwd
import signal
import subprocess

import pytest

from harness import BUILD, alive, parent, row, wait_until
from test_processes import make_it_work, name_of

TOOL = BUILD / "unit" / "owned"
SAY = BUILD / "unit" / "say"
TABLE = pathlib.Path(__file__).parent / "taken_over.table"
KERNELS = {"this-kernel": [], "kernel-6.1": ["--kernel", "61"]}
HEAD = """\
# What a process gains who is taken over: a deed a line, a process a column.  test_taken_over.py does each deed in the live process
# (tools/owned.c) and compares; POSTERN_REWRITE=1 writes the table anew, for a person to look at the difference.
#
# .  its filter kills it       yes  it can       else what it is told
#
# And of what it may say to whom (tools/say.c): each message that one may say to another, a line each, the listener first; whether it was
# heard, or the link cut for it.  All that is not here was said as well, and cut.
#
# plain: of a session that is another worker's     zero, huge: numbers and texts     question, answer: where none was asked
# other-fd: with a descriptor where none belongs, or without     short, long: a byte less, a byte more
"""

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not TOOL.exists(), reason="tools/owned is for x86-64"),
    pytest.mark.skipif("asan" in BUILD.name, reason="the sanitizer's own calls are in the filters"),
]


@pytest.fixture
def stage(suite, tmp_path):
    """A folder that all may write to, with a file that all may change."""
    folder = tmp_path / "stage"
    folder.mkdir()
    folder.chmod(0o777)

    def fresh():
        for path in folder.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()
        (folder / "victim").touch()
        (folder / "victim").chmod(0o666)
        return folder
    return fresh


def deeds(suite, pid, stage):
    other = suite.pids("queue" if pid not in suite.pids("queue") else "keyd")[0]
    done = subprocess.run([TOOL, *map(str, (pid, other, suite.process.pid, suite.key, suite.folder / "spool" / "index.db", stage()))],
                          capture_output=True, text=True, timeout=60)
    if done.returncode == 69:
        pytest.skip(done.stderr.strip())
    if done.returncode != 0 and not alive(pid):
        return None  # it had nothing left to do
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


def names(suite):
    """Of each process but the master; without those that end just now."""
    found = {}
    for pid in suite.children():
        with contextlib.suppress(OSError):
            found[pid] = name_of(suite, pid)
    return found


def a_mailbox_worker(suite):
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "bob@example.test")
    (local,) = suite.pids("local")
    return wait_until(lambda: [p for p, name in names(suite).items() if parent(p) == local and name == "local.mailbox"], 20, "a mailbox worker")


def a_worker_of_programs(suite):
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "bob@program.test")
    return wait_until(lambda: [p for p, name in names(suite).items() if name == "local.program"], 20, "a worker of programs")


def everybody(suite, stage):
    """Kind of process -> deed -> outcome; workers first, for they leave when they have nothing to do."""
    found = {}
    for _ in range(10):
        for pid in a_mailbox_worker(suite) + a_worker_of_programs(suite) + suite.children():
            with contextlib.suppress(OSError):
                name = name_of(suite, pid)
                if not found.get(name):
                    found[name] = deeds(suite, pid, stage)
        if all(found.values()):
            break
    return found


def as_table(found):
    kinds = sorted(found)
    lines = [["deed", *kinds]]
    for deed in next(iter(found.values())):
        lines.append([deed, *(found[k][deed].replace("killed", ".") for k in kinds)])
    return aligned(lines)


def aligned(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(word.ljust(w) for word, w in zip(line, widths)).rstrip() for line in lines) + "\n"


def sections():
    text = TABLE.read_text() if TABLE.exists() else ""
    parts = [part.split("\n", 1) for part in text.split("\n== ")[1:]]
    return {name: body.strip("\n") + "\n" for name, body in parts}


def write(name, body):
    kept = {**sections(), name: body}
    TABLE.write_text(HEAD + "".join(f"\n== {k}\n{v}" for k, v in sorted(kept.items(), reverse=True)))


def cells(body):
    lines = [line.split() for line in body.splitlines()]
    return {(kind, line[0]): word for line in lines[1:] for kind, word in zip(lines[0][1:], line[1:])}


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_each_gains(suite, stage, kernel):
    suite.arguments = KERNELS[kernel]
    suite.routes = '\tdeliver programs if recipient.domain == "program.test"\n' + suite.routes
    suite.transports += f"transport programs {{ pipe /bin/true user {pwd.getpwuid((suite.folder / 'mail').stat().st_uid).pw_name} }}\n"
    suite.start()
    sessions = make_it_work(suite)
    body = as_table(everybody(suite, stage))
    if os.environ.get("POSTERN_REWRITE"):
        write(kernel, body)
    want, got = cells(sections()[kernel]), cells(body)
    wrong = [f"{kind} {deed}: {got.get((kind, deed), 'not there')}, not {want.get((kind, deed), 'in the table')}"
             for kind, deed in sorted({*want, *got}) if got.get((kind, deed)) != want.get((kind, deed))]
    if wrong:
        print("\n".join(wrong))
    for kind in sorted({kind for kind, _ in got}):
        row("CAGE", f"{kind}-{kernel}", not [w for w in wrong if w.startswith(f"{kind} ")])
    assert not wrong
    assert sessions
    sessions[0].message("alice@example.test", "bob@example.test")  # the session that was held is as it was


def test_the_filter_means_it(running):
    """What the table says would kill does kill, and the next one is there at once."""
    for role in ("smtpd", "keyd", "queue"):
        before = running.pids(role)
        subprocess.run([TOOL, "--really", str(before[0]), "163"], capture_output=True, timeout=60)  # acct(2)
        wait_until(lambda: before[0] not in running.pids(role) and len(running.pids(role)) == len(before), what=f"a new {role}")
        running.wait_log(rf'child-ended role={role} .*how="signal 31')
    wait_until(lambda: takes_mail(running), 30, "mail accepted again")
    row("CAGE", "killed-in-earnest", True)


def takes_mail(suite):
    try:
        c = suite.smtp()
        c.ehlo()
        c.message("you@elsewhere.test", "alice@example.test")
        return True
    except (OSError, AssertionError):
        return False


# ---- what it may say ----

WAYS = ("plain", "zero", "huge", "question", "answer", "other-fd", "short", "long")
ROLES = ("authd", "dial", "gate", "keyd", "local", "log", "policyd", "queue", "relay", "resolver", "smtpd")


def socket_pairs():
    """Inode of one end of each connected Unix socket -> that of the other."""
    lines = subprocess.run(["ss", "-xnaH"], capture_output=True, text=True, check=True).stdout.splitlines()
    words = [line.split() for line in lines if line.startswith("u_seq")]
    return {int(w[5]): int(w[7]) for w in words if w[5].isdigit() and w[7].isdigit()}


def inode(pid, fd):
    """Of a socket; None: it is none, or closed meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
        return int(link[8:-1]) if link.startswith("socket:[") else None
    return None


def masters_end(suite, pid, pairs):
    """The master's descriptor of its link to that process."""
    master = suite.process.pid
    other = pairs[inode(pid, 3)]
    (fd,) = [fd for fd in os.listdir(f"/proc/{master}/fd") if inode(master, fd) == other]
    return fd


def test_what_each_may_say(suite):
    """Every message of the bus, said to each live process by each of its peers, well made and not: heard or cut stands in the table."""
    suite.settings += "watchdog 0s\n"
    suite.start()
    pairs = socket_pairs()
    receivers = {role: suite.pids(role)[0] for role in ROLES}
    assert {name.split(".")[0] for name in names(suite).values()} == set(ROLES)
    ends = {role: masters_end(suite, pid, pairs) for role, pid in receivers.items()}
    os.kill(suite.process.pid, signal.SIGSTOP)  # it would end the liars
    told = {}
    try:
        for role, fd in ends.items():
            said = subprocess.run([SAY, role, str(suite.process.pid), fd], capture_output=True, text=True, timeout=300)
            told[role] = (said.returncode, said.stdout, said.stderr)
    finally:
        os.kill(suite.process.pid, signal.SIGCONT)
    for role, (code, out, err) in told.items():
        assert code == 0, f"{role}: {err}"
        row("CAGE", f"said-to-{role}", alive(receivers[role]) and "accepted" not in out)
    body = aligned([["link", "message", *WAYS], *(line.split() for _, out, _ in told.values() for line in out.splitlines() if "<" in line)])
    if os.environ.get("POSTERN_REWRITE"):
        write("said", body)
    assert body == sections()["said"]
    assert {role: suite.pids(role)[0] for role in receivers} == receivers
    suite.kill("gate")  # it has lost its witnesses to impostors, which the master alone could have sent
    wait_until(lambda: takes_mail(suite), 30, "mail accepted as before")
    assert {role: suite.pids(role)[0] for role in receivers if role != "gate"} == {r: p for r, p in receivers.items() if r != "gate"}


def sockets_of(pid):
    """Inode -> descriptor."""
    held = {inode(pid, fd): fd for fd in os.listdir(f"/proc/{pid}/fd")}
    return {node: fd for node, fd in held.items() if node is not None}


def lie(suite, role, to):
    """Has a process say on its own link to another what it may not; that process."""
    def link():
        pid, pairs = suite.pids(role)[0], socket_pairs()
        theirs = sockets_of(suite.process.pid if to == "master" else suite.pids(to)[0])
        return next(((pid, fd) for node, fd in sockets_of(pid).items() if pairs.get(node) in theirs), None)
    pid, fd = wait_until(link, what=f"the link of {role} to {to}")
    subprocess.run([SAY, "--lie", role, to, str(pid), fd], check=True, timeout=60)
    return pid


def wait_for_others(suite, liars):
    for role, pid in liars.items():
        wait_until(lambda: pid not in suite.pids(role) and suite.pids(role), 60, f"another {role}")
    wait_until(lambda: takes_mail(suite), 60, "mail accepted again")


def test_who_lies_is_ended(running):
    """By its own sockets: to the master, then to others, who live on."""
    liars = {role: lie(running, role, "master") for role in ("keyd", "smtpd", "resolver", "relay")}
    wait_for_others(running, liars)
    row("CAGE", "lies-to-the-master", True)
    liars = {"smtpd": "queue", "relay": "authd", "gate": "policyd", "keyd": "log", "dial": "log", "local": "queue"}
    deceived = {role: running.pids(role) for role in set(liars.values())}
    ended = {role: lie(running, role, to) for role, to in liars.items()}
    wait_for_others(running, ended)
    for role, to in liars.items():
        running.wait_log(rf"peer-broke-rules peer={role} instance=\d+ told-by={to} ")
    row("CAGE", "liars-are-ended", {role: running.pids(role) for role in deceived} == deceived)
