"""`cmake --install` puts everything where a distribution would, and what was installed runs from there."""

import os
import pathlib
import re
import subprocess

import pytest

from harness import BUILD, ROLES, row

PROGRAMS = {f"libexec/postern/postern-{role}" for role in [*ROLES, "lookup"]} | {"sbin/postern-master", "sbin/postern", "sbin/sendmail"}
OTHERS = {
    "lib/systemd/system/postern.service", "lib/sysusers.d/postern.conf", "lib/tmpfiles.d/postern.conf",
    "share/man/man8/postern.8", "share/man/man5/postern.conf.5", "share/man/man1/postern-sendmail.1",
    "share/man/man1/sendmail.1", "share/man/man1/mailq.1", "share/man/man1/newaliases.1", "share/doc/postern/configuration.md",
}


def cached(name):
    text = (BUILD / "CMakeCache.txt").read_text()
    return re.search(rf"^{name}:\w+=(.*)$", text, re.M).group(1)


@pytest.fixture
def installed(tmp_path):
    """(the folder that stands for /, the prefix beneath it)"""
    root = tmp_path / "root"
    subprocess.run(["cmake", "--install", BUILD], check=True, capture_output=True, env={**os.environ, "DESTDIR": str(root)})
    return root, root / cached("CMAKE_INSTALL_PREFIX").lstrip("/")


def below(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def sample(root):
    found = list(root.rglob("postern/postern.conf"))
    assert len(found) == 1
    return found[0]


def test_everything_has_its_place(installed):
    root, prefix = installed
    found = below(prefix)
    assert PROGRAMS | OTHERS <= found, (PROGRAMS | OTHERS) - found
    for name in PROGRAMS:
        assert os.access(prefix / name, os.X_OK)
    strange = {n for n in found - PROGRAMS - OTHERS if not n.startswith(("bin/", "sbin/", "share/", "etc/"))}
    assert not strange
    assert not [n for n in below(root) if re.search(r"test_|fuzz_|stub|\.a$|\.h$", n)]
    modes = {p: p.lstat().st_mode for p in root.rglob("*") if not p.is_symlink()}
    row("L07", "installed-without-set-id", not [p for p, mode in modes.items() if mode & 0o6000])
    row("O03", "installed-not-writable-by-all", not [p for p, mode in modes.items() if mode & 0o002])


def test_what_root_does_in_folders_of_others(installed):
    """L10: at an upgrade or an end nothing is done to what lies in them: they are made, and never walked through."""
    _, prefix = installed
    made = [line.split() for line in (prefix / "lib/tmpfiles.d/postern.conf").read_text().splitlines() if line and line[0] != "#"]
    unit = (prefix / "lib/systemd/system/postern.service").read_text()
    row("L10", "folders-are-made-alone", made and all(words[0] == "d" and int(words[2], 8) & 0o022 == 0 for words in made))
    row("L10", "unit-runs-the-master-alone", not re.search(r"^Exec(?!Start=|Reload=)\w+=|^Exec\w+=\W*[+!]|^StateDirectory=", unit, re.M))


def test_the_unit_names_what_is_installed(installed):
    root, prefix = installed
    unit = (prefix / "lib/systemd/system/postern.service").read_text()
    named = re.findall(r"^Exec\w+=(\S+)", unit, re.M)
    assert named
    for path in named + re.findall(r"(?:-c|--config) (/\S+)", unit):
        assert (root / path.lstrip("/")).exists(), path


def test_the_sample_configuration_has_no_mistake(installed):
    root, prefix = installed
    done = subprocess.run([prefix / "sbin/postern", "--config", sample(root), "check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.root
def test_the_installed_master_finds_its_programs(installed, suite):
    """The prefix is laid over the machine's own, for this one process and its children."""
    _, prefix = installed
    place = pathlib.Path(cached("CMAKE_INSTALL_PREFIX"))
    suite.command = ["unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh", prefix, place,
                     place / "sbin/postern-master", "-c", suite.conf_path]
    suite.start()
    with open(f"/proc/{suite.pids('queue')[0]}/cmdline") as f:
        assert f.read().startswith("postern-queue")
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    suite.wait_messages("alice@example.test")
