"""Reads /proc of every process against the checked-in table: who it is, what it holds, and that its cage is shut."""

import collections
import grp
import os
import pathlib
import pwd
import re
import signal
import time

import pytest

from harness import ROOT, alive, parent, program, row, status_of, wait_until

CAPABILITIES = {0: "chown", 1: "dac_override", 2: "dac_read_search", 5: "kill", 6: "setgid", 7: "setuid", 8: "setpcap",
                10: "net_bind_service", 12: "net_admin", 18: "sys_chroot", 21: "sys_admin"}
COLUMNS = ("user", "group", "capabilities", "seccomp", "threads", "root", "cwd")


def table():
    rows = {}
    for line in (pathlib.Path(__file__).parent / "processes.table").read_text().splitlines():
        if line and not line.startswith("#") and "@" not in line.split()[0]:  # those are looked at by test_sandbox.py
            name, *words = line.split()
            rows[name] = dict(zip(COLUMNS, words))
            rows[name]["descriptors"] = dict(word.rsplit("=", 1) for word in words[len(COLUMNS):])
    return rows


def names(mask):
    bits = int(mask, 16)
    return {CAPABILITIES.get(i, f"cap{i}") for i in range(64) if bits >> i & 1}


def from_suite(suite, path):
    return str(path.relative_to(suite.folder)) if path.is_relative_to(suite.folder) else str(path)


def kind_of(suite, pid, fd):
    try:
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
    except FileNotFoundError:
        return None  # closed meanwhile
    anonymous = re.match(r"anon_inode:\[?(\w+)\]?|(socket|pipe):|/memfd:", link)
    if anonymous:
        return anonymous.group(1) or anonymous.group(2) or "memfd"
    path = pathlib.Path(link.removesuffix(" (deleted)"))
    if link == "/dev/null":
        return "null"
    if path == suite.log_path:
        return "log"
    if path.is_dir():
        return f"folder:{from_suite(suite, path)}"
    return f"file:{path.name}"


def name_of(suite, pid):
    """Its role; and the kind of child it is, where it was not the master who made it."""
    if pid == suite.process.pid:
        return "master"
    role = os.path.basename(os.readlink(f"/proc/{pid}/exe")).removeprefix("postern-")
    if parent(pid) == suite.process.pid:
        return role
    called = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    if called in ("programs", "program"):
        return f"{role}.{called}"
    kinds = {"smtpd": "session", "local": "mailbox"}
    finder = os.readlink(f"/proc/{pid}/cwd") == "/etc"
    return f"{role}.{kinds.get(role) or ('finder' if finder else 'verifier')}"


def differences_of_rights(suite, s, want):
    """Who it is, and what it may."""
    user = pwd.getpwnam(want["user"]) if suite.as_root else pwd.getpwuid(os.stat(suite.folder).st_uid)
    groups = {"-": [], "own": [user.pw_gid]}.get(want["group"]) if suite.as_root else None
    if suite.as_root and groups is None:
        groups = [grp.getgrnam(want["group"]).gr_gid]
    expected = {
        "Uid": {str(user.pw_uid)}, "Gid": {str(user.pw_gid)}, "NoNewPrivs": {"1"}, "Threads": {want["threads"]},
        "Seccomp_filters": {want["seccomp"]}, "Seccomp": {"0" if want["seccomp"] == "0" else "2"}}
    found = [f"{key} {set(s[key].split())}, not {value}" for key, value in expected.items() if set(s[key].split()) != value]
    if groups is not None and [int(g) for g in s["Groups"].split()] != groups:
        found.append(f"groups {s['Groups']}, not {groups}")
    capabilities = set() if not suite.as_root or want["capabilities"] == "-" else set(want["capabilities"].split(","))
    for which, may in (("CapEff", capabilities), ("CapPrm", capabilities), ("CapInh", set()), ("CapAmb", set())):
        if names(s[which]) != may:
            found.append(f"{which} {names(s[which])}, not {may}")
    return found


def differences_of_places(suite, pid, want):
    found = []
    for place in ("root", "cwd"):
        path = "/" if place == "root" and not suite.as_root else want[place]
        is_at = os.readlink(f"/proc/{pid}/{place}")
        if is_at != (path if path.startswith("/") else str(suite.folder / path)):
            found.append(f"{place} {is_at}, not {path}")
    return found


def differences_of_descriptors(suite, pid, want):
    held = collections.Counter(filter(None, (kind_of(suite, pid, fd) for fd in os.listdir(f"/proc/{pid}/fd"))))
    found = [f"holds {kind}" for kind in held if kind not in want["descriptors"]]
    for kind, count in want["descriptors"].items():
        if count != "*" and (held[kind] == 0 if count == "+" else held[kind] != int(count)):
            found.append(f"{held[kind]} of {kind}, not {count}")
    return found


def differences(suite, pid, want):
    found = differences_of_rights(suite, status_of(pid), want) + differences_of_places(suite, pid, want) + \
        differences_of_descriptors(suite, pid, want)
    if os.stat(f"/proc/{pid}/status").st_uid != 0:
        found.append("dumpable")
    return found


def look_at(suite, pid, want):
    """(its name, what is wrong with it); None: it has ended, as a child does that has answered."""
    try:
        name = name_of(suite, pid)
        wrong = [f"{name}: {w}" for w in differences(suite, pid, want[name])] if name in want else [f"{name} is not in the table"]
    except (OSError, KeyError):
        wrong = None
    if not alive(pid):
        return None
    assert wrong is not None, f"/proc/{pid} cannot be read"
    return name, wrong


def look_long_at(suite, pid, want):
    """What is wrong stays so; a file or a folder that is being read is closed again, also on a slow machine."""
    for _ in range(60):
        found = look_at(suite, pid, want)
        if found is None or not found[1]:
            break
        time.sleep(0.05)
    return found


def check_all(suite, variant):
    """Every process is in the table, and every row of the table is met."""
    want, wrong, missing, sessions = table(), [], ["all"], []
    for _ in range(5):  # a mailbox worker leaves when it has had nothing to do
        if missing:
            sessions.append(make_it_work(suite))
            seen = [found for pid in [suite.process.pid, *suite.children()] if (found := look_long_at(suite, pid, want))]
            wrong += [w for _, mistakes in seen for w in mistakes]
            missing = sorted(want.keys() - {name for name, _ in seen})
    wrong += [f"no {name}" for name in missing]
    if wrong:
        print("\n".join(wrong))
    row("N06", f"proc-{variant}", not wrong)


def make_it_work(suite):
    """So that every kind of child is there: a session of its own after a login, and a mailbox worker."""
    c = suite.login()
    c.message("alice@example.test", "bob@example.test")
    suite.wait_messages("bob@example.test")
    plain = suite.smtp()
    plain.ehlo()
    plain.starttls()
    plain.ehlo()
    return c, plain


@pytest.mark.root
def test_as_root(running):
    check_all(running, "root")


def test_as_an_ordinary_user(tmp_path):
    from harness import Suite
    if ROOT:
        for folder in (tmp_path, *list(tmp_path.parents)[:2]):
            folder.chmod(0o755)
    suite = Suite(tmp_path / "postern", user="nobody" if ROOT else None)
    try:
        suite.start()
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
    children = running.children()
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not [p for p in children if alive(p)], what="the end of all children")
    row("C10", "master-killed", True)


def first_looks(trace):
    """Process -> its program, and whether it was in its cage when it first looked into the text of a configuration."""
    programs, caged, looks = {}, set(), {}
    for line in trace.splitlines():
        pid, call = line.split(maxsplit=1)
        executed = re.match(r'execve(?:at)?\(.*?\["postern-(\w+)"', call)
        if executed:
            programs[pid] = executed[1]
            caged.discard(pid)
        elif call.startswith("seccomp(SECCOMP_SET_MODE_FILTER"):
            caged.add(pid)
        elif "/memfd:postern-generation" in call:
            looks.setdefault(pid, (programs.get(pid, "master"), pid in caged))
    return list(looks.values())


def test_no_text_is_read_before_the_cage(suite, tmp_path):
    """The text of a configuration is looked into only where nothing is left to be gained, and by local not at all."""
    trace = tmp_path / "trace"
    suite.prefix = ["strace", "-D", "-f", "-y", "-qq", "--seccomp-bpf", "-o", trace, "-e",
                    "trace=execve,execveat,seccomp,read,pread64,readv,preadv,preadv2,mmap,sendfile,copy_file_range,splice"]
    suite.start()
    started = first_looks(trace.read_text())
    there = {name.removeprefix("postern-") for name in map(program, suite.children()) if name is not None}
    suite.settings += "messages_max 77\n"
    suite.write_conf()
    suite.postern("reload")
    suite.stop()
    looked = first_looks(trace.read_text())
    row("CAGE", "text-after-the-cage", all(in_cage for _, in_cage in looked))
    row("CAGE", "local-has-no-text", "local" not in {who for who, _ in looked})
    assert all(in_cage for _, in_cage in looked), looked
    assert {who for who, _ in started} == there - {"local"}, started
    assert {who for who, _ in looked} == {who for who, _ in started}, looked
