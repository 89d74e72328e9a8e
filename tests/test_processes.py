"""Reads /proc of every process against the checked-in table: who it is, what it holds, and that its cage is shut."""

import os
import pathlib
import pwd
import re

import pytest

from harness import ROOT, row

CAPABILITIES = {0: "chown", 1: "dac_override", 2: "dac_read_search", 5: "kill", 6: "setgid", 7: "setuid", 8: "setpcap",
                10: "net_bind_service", 12: "net_admin", 18: "sys_chroot", 21: "sys_admin"}


def table():
    rows = {}
    for line in (pathlib.Path(__file__).parent / "processes.table").read_text().splitlines():
        if line and not line.startswith("#"):
            role, user, capabilities, nnp, seccomp, root, *kinds = line.split()
            rows[role] = dict(user=user, capabilities=set() if capabilities == "-" else set(capabilities.split(",")),
                              nnp=nnp, seccomp=seccomp, root=root, kinds=set(kinds))
    return rows


def status(pid):
    return dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)


def names(mask):
    bits = int(mask, 16)
    return {CAPABILITIES.get(i, f"cap{i}") for i in range(64) if bits >> i & 1}


def kind_of(suite, pid, fd):
    link = os.readlink(f"/proc/{pid}/fd/{fd}")
    anonymous = re.match(r"anon_inode:\[?(\w+)\]?|(socket|pipe):|/memfd:", link)
    if anonymous:
        return anonymous.group(1) or anonymous.group(2) or "memfd"
    path = pathlib.Path(link.removesuffix(" (deleted)"))
    if link == "/dev/null":
        return "null"
    if path == suite.log_path:
        return "log"
    if path.is_dir():
        return "folder"
    return f"file:{path.name}"


def check(suite, pid, role, want):
    s = status(pid)
    uids = set(s["Uid"].split())
    expected = str(pwd.getpwnam(want["user"]).pw_uid) if suite.as_root else str(os.stat(suite.folder).st_uid)
    found = []
    if uids != {expected}:
        found.append(f"uids {uids}, not {expected}")
    capabilities = want["capabilities"] if suite.as_root else set()
    for which in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        if not names(s[which]) <= capabilities:
            found.append(f"{which} {names(s[which])}, at most {capabilities}")
    if s["NoNewPrivs"].strip() != want["nnp"]:
        found.append(f"NoNewPrivs {s['NoNewPrivs']}")
    if s["Seccomp"].strip() != want["seccomp"]:
        found.append(f"Seccomp {s['Seccomp']}")
    if suite.as_root:
        root = os.readlink(f"/proc/{pid}/root")
        place = {"/": "/", "empty": str(suite.folder / "run" / "empty"), "spool": str(suite.folder / "spool")}[want["root"]]
        if root != place:
            found.append(f"root {root}, not {place}")
    for fd in os.listdir(f"/proc/{pid}/fd"):
        kind = kind_of(suite, pid, fd)
        if kind not in want["kinds"]:
            found.append(f"descriptor {fd} is {kind}: {os.readlink(f'/proc/{pid}/fd/{fd}')}")
    return found


def check_all(suite, variant):
    want = table()
    wrong = check(suite, suite.process.pid, "master", want["master"])
    wrong = [f"master: {w}" for w in wrong]
    for role in want:
        if role == "master":
            continue
        pids = suite.pids(role)
        assert pids, f"no {role}"
        for pid in pids:
            wrong += [f"{role}: {w}" for w in check(suite, pid, role, want[role])]
    if wrong:
        print("\n".join(wrong))
    row("N06", f"proc-{variant}", not wrong)


@pytest.mark.root
def test_as_root(running):
    c = running.smtp()
    c.ehlo()
    c.starttls()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    running.wait_messages("alice@example.test")
    check_all(running, "root")


def test_as_an_ordinary_user(tmp_path):
    from harness import Suite
    if ROOT:
        for folder in (tmp_path, *list(tmp_path.parents)[:2]):
            folder.chmod(0o755)
    suite = Suite(tmp_path / "postern", user="nobody" if ROOT else None)
    try:
        suite.start()
        c = suite.smtp()
        c.ehlo()
        c.message("you@elsewhere.test", "alice@example.test")
        suite.wait_messages("alice@example.test")
        if ROOT:
            check_all(suite, "user")
    finally:
        suite.stop()


@pytest.mark.root
def test_nothing_is_group_or_world_writable(running):
    for path in running.folder.rglob("*"):
        mode = path.lstat().st_mode
        if path.is_socket() or path.is_symlink():
            continue
        assert mode & 0o002 == 0, f"{path} may be written by all"


def test_dead_master_ends_all(running):
    import signal
    from harness import alive, wait_until
    children = running.children()
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not [p for p in children if alive(p)], 5, "the end of all children")
    row("C10", "master-killed", True)
