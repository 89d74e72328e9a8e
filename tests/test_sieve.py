"""Sieve scripts: what they must not do, and a real Pigeonhole (Dovecot's sieve-test) asked what it would do with the same scripts and messages."""

import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import sieve_scripts
from harness import BIN, ROOT, TOP, row

GOLDEN = TOP / "common" / "filter" / "golden"
SIEVE_TEST = os.environ.get("POSTERN_SIEVE_TEST") or shutil.which("sieve-test", path="/usr/bin:/usr/local/bin")
OWNER = "bob+news@example.org"


def cases(name):
    default = (GOLDEN / "message").read_text()
    for part in re.split(r"^== ", (GOLDEN / name).read_text(), flags=re.M)[1:]:
        title, _, rest = part.partition("\n")
        script, *sections = re.split(r"^@@ ", re.split(r"^-- ", rest, maxsplit=1, flags=re.M)[0], flags=re.M)
        case = {"name": title, "script": script, "message": default, "sender": "alice@example.test"}
        for section in sections:
            words, _, content = section.partition("\n")
            what, _, value = words.partition(" ")
            case[what] = content if what == "message" else value
        yield case


# What is otherwise here, and why.
OTHERWISE = {
    "it looks at folders of its own": ("mailboxexists",),
    "our own host, name and phase": ("environment",),
    "the clock is ours": ("currentdate",),
    "it has no ereject here, and no :quoteregex": ("ereject", "redirect, then ereject", "the modifier :quoteregex", "a variable as a pattern"),
    "a size is that of lines with CRLF": ("size: neither over nor under what it is",),
    "the text of HTML has its entities resolved": ("body :text: decoded, tags left out, other types not looked at",),
    "what comes out of an encoded character is not looked at again": ("encoded characters make no variables",),
    "a MIME part that is none would be a broken mail": ("vacation :mime of a text that is none",),
    "sieve-test takes no null sender": ("envelope: the null sender", "vacation: no answer to mail of the null sender"),
}
# What it takes for good: a test that is never true, a flag that is left out, a mail that cannot be read.
STRICTER = ("include in require", "counting by letters", "a name with a colon", "an empty name", "an unknown part of a date",
            "a part of a date that is not constant", "a bad zone", "an empty folder", "a folder with a line end", "no flag",
            "a name of a namespace", "vacation :mime that is none", "body has nothing to count")


@pytest.fixture(scope="module")
def pigeonhole():
    """A function: script, message and sender to what sieve-test says, and whether it could be compiled."""
    if SIEVE_TEST is None:
        pytest.skip("not here: sieve-test (dovecot-sieve, or POSTERN_SIEVE_TEST names it)")
    with tempfile.TemporaryDirectory(prefix="postern-sieve-") as name:  # not below pytest's own, which are root's alone
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "home").mkdir()
        (folder / "home").chmod(0o777)
        user = "mail_uid = nobody\nmail_gid = nogroup\n" if ROOT else f"mail_uid = {os.getuid()}\nmail_gid = {os.getgid()}\nfirst_valid_uid = 1\n"
        (folder / "conf").write_text(f"mail_home = {folder}/home\nmail_location = maildir:{folder}/home/Maildir\nrecipient_delimiter = +\nssl = no\n"
                                     f"log_path = /dev/stderr\npostmaster_address = postmaster@example.org\n{user}"
                                     f"plugin {{\n  sieve = file:{folder}/none\n  sieve_extensions = +vacation-seconds +imapflags\n}}\n")

        def ask(script, message, sender="alice@example.test"):
            (folder / "script").write_text(script)
            (folder / "message").write_text(message)
            for path in (folder / "script", folder / "message"):
                path.chmod(0o644)
            done = subprocess.run([SIEVE_TEST, "-c", folder / "conf", "-f", sender or "<>", "-r", OWNER, "-a", OWNER, folder / "script", folder / "message"],
                                  capture_output=True, text=True, timeout=60, check=False)
            return done.stdout + done.stderr
        yield ask


def of_pigeonhole(output):
    """Folders with their flags, redirects, other actions."""
    if "failed to compile" in output:
        return "mistake"
    if "final result: success" not in output:
        return "error"
    performed, _, implicit = output.partition("Implicit keep:")
    found = set()
    for part in re.split(r"^ \* ", performed + implicit, flags=re.M)[1:]:
        first = part.splitlines()[0]
        flags = re.search(r"add IMAP flags: (.*)", part)
        flags = frozenset(flags[1].lower().split()) if flags else frozenset()
        if found_folder := re.match(r"store message in folder: (.*)", first):
            found.add(("folder", found_folder[1], flags))
        elif found_address := re.match(r"redirect message to: <(.*)>", first):
            local, _, domain = found_address[1].partition("@")
            found.add(("redirect", f"{local}@{domain.lower()}"))
        elif first.startswith(("reject", "send vacation")):
            found.add((first.split()[0] if first.startswith("reject") else "mail",))
    return found


def of_postern(folder, case):
    (folder / "script.sieve").write_text(case["script"])
    (folder / "message").write_text(case["message"])
    done = subprocess.run([BIN / "postern", "filter", "test", folder / "script.sieve", folder / "message", "--json", "--sender", case["sender"] or "<>",
                           "--recipient", OWNER], capture_output=True, text=True, timeout=60, check=False)
    told = json.loads(done.stdout)
    if told["outcome"] != "done":
        return told["outcome"]
    kinds = {"inbox": lambda a: ("folder", "INBOX", frozenset(a.get("flags", "").lower().split())),
             "folder": lambda a: ("folder", a["text"], frozenset(a.get("flags", "").lower().split())),
             "redirect": lambda a: ("redirect", a["text"]), "reject": lambda a: ("reject",), "mail": lambda a: ("mail",)}
    return {kinds[a["action"]](a) for a in told["actions"]}


# ---- promises ----

def test_nothing_is_evaluated_twice(tmp_path):
    """What a message holds is text in folders, variables, patterns and answers."""
    meta = "${v} ${1} ${hex: 41} ${unicode: 42} :copy * ? (a+)+$"
    script = ('require ["fileinto", "variables", "encoded-character", "regex", "vacation"];\nset "v" "secret";\n'
              'if header :matches "Subject" "*" { set "s" "${1}"; }\nset "t" "x${s}y"; fileinto "${t}";\n'
              'if header :regex "X-Tag" "${nope}${s}" { discard; }\nvacation :subject "${s}" "said ${s}";\n')
    (tmp_path / "message").write_text(f"To: {OWNER}\nSubject: {meta}\nX-Tag: secret\n\n")
    (tmp_path / "script.sieve").write_text(script)
    done = subprocess.run([BIN / "postern", "filter", "test", tmp_path / "script.sieve", tmp_path / "message", "--json", "--sender", "alice@example.test",
                           "--recipient", OWNER], capture_output=True, text=True, timeout=60, check=True)
    actions = {a["action"]: a for a in json.loads(done.stdout)["actions"]}
    assert set(actions) == {"folder", "mail"}
    row("E09", "sieve-folder", actions["folder"]["text"] == f"x{meta}y")
    row("E09", "sieve-answer", f"\nSubject: {meta}\n" in actions["mail"]["text"] and actions["mail"]["text"].endswith(f"\n\nsaid {meta}\n"))


# ---- Pigeonhole says what it would do ----

def test_pigeonhole_does_the_same(tmp_path, pigeonhole):
    different, compared = [], 0
    for case in cases("sieve"):
        if case["name"] in itertools.chain(*OTHERWISE.values()):
            continue
        theirs, ours = of_pigeonhole(pigeonhole(case["script"], case["message"], case["sender"])), of_postern(tmp_path, case)
        compared += 1
        # Whether a message is answered it looks at only when it would send.
        if case["name"].startswith("vacation: no answer") and isinstance(theirs, set):
            theirs = theirs - {("mail",)}
        if ours != theirs and not {ours if isinstance(ours, str) else "", theirs if isinstance(theirs, str) else ""} <= {"error", "mistake"}:
            different.append(f"{case['name']}\n  Pigeonhole {theirs}\n  Postern    {ours}")
    assert not different, "\n".join(different)
    assert compared >= 95


def test_pigeonhole_does_the_same_by_chance(tmp_path, pigeonhole):
    seed = int(os.environ.get("POSTERN_SIEVE_SEED", 20261128))  # others: another number; a difference may be the peer's
    different = []
    for n in range(int(os.environ.get("POSTERN_SIEVE_FEW") or 60)):
        chance = sieve_scripts.Chance(f"{seed}/{n}")
        case = {"script": chance.script(), "message": chance.message(), "sender": "alice@example.test"}
        theirs, ours = of_pigeonhole(pigeonhole(case["script"], case["message"])), of_postern(tmp_path, case)
        if ours != theirs and not (isinstance(ours, str) and isinstance(theirs, str)):
            different.append(f"{n}\n{case['script']}\n{case['message']}\n  Pigeonhole {theirs}\n  Postern    {ours}")
    assert not different, f"POSTERN_SIEVE_SEED={seed}\n" + "\n".join(different)


def test_pigeonhole_refuses_what_is_refused(pigeonhole):
    accepted = []
    for case in cases("sieve-mistakes"):
        output = pigeonhole(case["script"], case["message"])
        if "failed to compile" not in output and case["name"] not in STRICTER:
            accepted.append(case["name"])
    assert not accepted, "\n".join(accepted)
