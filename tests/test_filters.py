"""Filters and .forward lists as their owners try them: `postern filter test`; and a real Exim, asked what it would do with the same files."""

import getpass
import itertools
import json
import os
import re
import shutil
import subprocess

import pytest

import exim_filters
from harness import BIN, ROOT, TOP, row

GOLDEN = TOP / "common" / "filter" / "golden"
EXIM = os.environ.get("POSTERN_EXIM") or shutil.which("exim4", path="/usr/sbin:/usr/bin") or shutil.which("exim", path="/usr/sbin:/usr/bin")
MESSAGE = "From: Alice <alice@example.test>\nTo: bob@example.org\nSubject: the coast\nX-Tag: \x1b[2Jone\n\nhello\n"


def filter_test(folder, text, message=MESSAGE, *words, name="filter"):
    (folder / name).write_text(text)
    (folder / "message").write_text(message)
    return subprocess.run([BIN / "postern", "filter", "test", folder / name, folder / "message", *words], capture_output=True, text=True,
                          timeout=60, check=False)


def as_json(folder, text, message=MESSAGE, *words):
    done = filter_test(folder, text, message, "--json", *words)
    return json.loads(done.stdout) | {"exit": done.returncode}


# ---- the command ----

def test_each_step_and_action_is_shown(tmp_path):
    done = filter_test(tmp_path, '# Exim filter\nif $h_subject: contains "coast" then\n  save Maildir/.Sea/\n'
                                 '  mail to carol@example.net subject "seen" text "look"\nendif\n')
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:3] == ['    2  "the coast" contains "coast": yes', '    3  save "Maildir/.Sea/"',
                         '    4  mail to "carol@example.net", subject "seen"']
    assert "  --> into the file Maildir/.Sea/" in lines and "      | Auto-Submitted: auto-generated" in lines


def test_a_mistake_has_its_place(tmp_path):
    done = filter_test(tmp_path, "# Exim filter\nif $h_subject: contains\n  ${run{/bin/id}} then save a endif\n")
    assert done.returncode == 78 and done.stdout == ""
    assert done.stderr.startswith(f"{tmp_path}/filter:3:5: ${{run is not taken over")
    told = as_json(tmp_path, "carol@example.net\n  dave@@example.net\n")
    assert (told["outcome"], told["line"], told["column"], told["exit"]) == ("mistake", 2, 3, 78)


def test_all_mistakes_of_a_sieve_script(tmp_path):
    done = filter_test(tmp_path, 'require ["filinto", "\x1b[2J"];\nif heeder "a" "b" { keep; }\n', name="x.sieve")
    assert done.returncode == 78 and done.stdout == "" and "\x1b" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == f'{tmp_path}/x.sieve:1:10: unknown extension "filinto"' and 'did you mean "fileinto"?' in lines[2]
    assert f'{tmp_path}/x.sieve:2:4: unknown test "heeder"' in lines
    told = as_json(tmp_path, "# Sieve filter\nkeeep;\n")
    assert (told["outcome"], told["line"], told["column"], told["exit"]) == ("mistake", 2, 1, 78)


def test_outcomes_are_exit_codes(tmp_path):
    error = filter_test(tmp_path, '# Exim filter\nsave a\ndeliver "$h_x-tag: not one"\n')
    assert error.returncode == 1 and "line 3: " in error.stdout and "stays in the inbox" in error.stdout and "into the file" not in error.stdout
    later = filter_test(tmp_path, ":include:/nowhere/at/all\n")
    assert later.returncode == 75 and "the mail waits" in later.stdout
    for words in (("x",), ("x", "y", "z"), ("/nowhere", "/nowhere")):
        assert subprocess.run([BIN / "postern", "filter", "test", *words], capture_output=True, timeout=60, check=False).returncode in (1, 64)
    assert filter_test(tmp_path, "", MESSAGE, "--recipient", "a@@b").returncode == 64
    assert filter_test(tmp_path, "", MESSAGE, "--sender", "a@@b").returncode == 64


def test_nothing_reaches_the_terminal(tmp_path):
    done = filter_test(tmp_path, '# Exim filter\ntestprint "$h_x-tag:"\nsave "x$h_subject:y"\nlogwrite "\\x1b[2J"\n',
                       MESSAGE.replace("the coast", "a\u009b2Jb"))
    assert "testprint" in done.stdout and not set(done.stdout + done.stderr) & {"\x1b", "\u009b"}
    told = filter_test(tmp_path, '# Exim filter\ntestprint "$h_x-tag:"\n', MESSAGE, "--json").stdout
    assert "\x1b" not in told and json.loads(told)["steps"]


def test_whose_mail_it_is(tmp_path):
    text = '# Exim filter\ntestprint "$local_part $domain $sender_address $home $local_part_suffix"\nif error_message then seen finish endif\n'
    told = as_json(tmp_path, text, MESSAGE, "--recipient", "bob+x@Example.ORG", "--sender", "<>", "--home", "/home/bob", "--user", "bob")
    assert told["steps"][0]["what"] == 'testprint "bob example.org  /home/bob +x"' and told["actions"] == []
    told = as_json(tmp_path, text, "Return-Path: <mallory@example.net>\n" + MESSAGE, "--recipient", "bob@example.org", "--home", "/x")
    assert told["steps"][0]["what"] == 'testprint "bob example.org mallory@example.net /x "'
    assert told["actions"] == [{"action": "inbox", "line": 0}]


def test_files_that_are_named(tmp_path):
    (tmp_path / "more").write_text("dave@example.net, |/bin/cat 'a b'\n")
    (tmp_path / ".vacation.msg").write_text("Away, $local_part.\n")
    os.mkfifo(tmp_path / "fifo")
    told = as_json(tmp_path, f"carol@example.net\n:include:{tmp_path}/more\n")
    assert [a["action"] for a in told["actions"]] == ["redirect", "redirect", "pipe"] and told["actions"][2]["arguments"] == ["/bin/cat", "a b"]
    told = as_json(tmp_path, "# Exim filter\nvacation\n", MESSAGE, "--home", tmp_path, "--recipient", "bob@example.org")
    assert told["actions"][0]["text"].endswith("\n\nAway, bob.\n") and told["actions"][0]["once_seconds"] == 7 * 86400
    for never in (tmp_path / "fifo", "/dev/zero", tmp_path):
        assert as_json(tmp_path, f":include:{never}\n")["outcome"] == "later"


def test_from_the_standard_input(tmp_path):
    (tmp_path / "filter").write_text("# Exim filter\nsave $h_subject:\n")
    done = subprocess.run([BIN / "postern", "filter", "test", tmp_path / "filter", "-"], input=MESSAGE, capture_output=True, text=True,
                          timeout=60, check=False)
    assert "into the file the coast" in done.stdout


def test_a_message_of_any_size(tmp_path):
    for message in ("", "\n", "no header", "A: b\n" * 5000 + "\n", "\n" + "x" * 2000000):
        assert filter_test(tmp_path, "# Exim filter\nif $message_body contains x or $message_headers contains x then save a endif\n",
                           message).returncode == 0


def test_what_the_page_shows_is_so(tmp_path):
    """docs/filters.md: each filter and list in it compiles, and each variable is there."""
    page = (TOP / "docs" / "filters.md").read_text()
    shown = [re.sub(r"^    ", "", part, flags=re.M) for part in re.findall(r"^    #.*\n(?:^    .*\n|^\n(?=    [^#]))*", page, re.M)]
    assert len([s for s in shown if s.startswith("# Exim filter")]) >= 1 and len([s for s in shown if s.startswith("# Sieve filter")]) >= 6
    for text in shown:
        told = as_json(tmp_path, text)
        assert told["outcome"] in ("done", "later"), (text, told)
    listed = "# Exim filter\nif $h_subject: contains x then endif\n"
    for name in set(re.findall(r"`\$([a-z_]+[a-z])`", page)) - {"recipients", "name"}:
        assert as_json(tmp_path, listed + f'testprint "${name}"\n')["outcome"] == "done", name


# ---- Exim says what it would do ----

def cases():
    default = (GOLDEN / "message").read_text()
    for part in re.split(r"^== ", (GOLDEN / "exim").read_text(), flags=re.M)[1:]:
        name, _, rest = part.partition("\n")
        given = re.split(r"^-- ", rest, maxsplit=1, flags=re.M)[0]
        text, *sections = re.split(r"^@@ ", given, flags=re.M)
        case = {"name": name, "filter": text, "message": default, "sender": "alice@example.test"}
        for section in sections:
            words, _, content = section.partition("\n")
            what, _, value = words.partition(" ")
            case[what] = content if what == "message" else value
        yield case


# What is meant to be otherwise than in Exim; each stands in docs/filters.md.
OTHERWISE = {
    "not an error here: a missing endif": ("the same as it is often copied, without endif: spam", "the same without endif: by its body",
                                           "the same without endif: none of these"),
    "not an error here: what is no number": ("many is above 1", "many is not above 1", "add", "${if: comparisons"),
    "not an error here: a group is a variable to def:": ("${if: def",),
    "fields are unfolded": ("fields", "$message_body, $message_headers"),
    "another host, id, size and original address": ("variables",),
    "not a system filter's alone": ("fail", "fail without words", "freeze", "defer", "headers", "headers: what a message holds makes no lines"),
    "mailer-daemon is a daemon": ("personal: from MAILER-DAEMON@example.net",),
    "line ends of values are blanks in fields": ("mail", "mail: what a message holds makes no fields"),
    "looked at when the filter runs, not at delivery": ("mail: a file", "mail: a file, expanded", "vacation"),
}
# Exim shows an escape as it shows a backslash and a letter.
NOT_SHOWN = ("E09: nothing is evaluated twice",)


def unescaped(text, pattern=r"\\(x[0-9a-f]{2}|.)"):
    """A text as it is shown: as it was."""
    def one(match):
        code = match.group(1)
        if code[0] == "x":
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0].isdigit() else {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)
    return re.sub(pattern, one, text)


def of_exim(output):
    """Saved, delivered, printed."""
    if re.search(r"^Filter error: ", output, re.M):
        return "error"
    saved = [s for s in re.findall(r"^(?:Unseen s|S)ave message to: (\S.*?)(?: 0[0-7]+)?(?: \(noerror\))?$", output, re.M) if s != "/dev/null"]
    sent = re.findall(r"^(?:Unseen d|D)eliver message to: (\S+)", output, re.M)
    printed = [unescaped(t, r"\\([0-7]{3}|[ntr])").encode("latin-1").decode("utf-8", "replace")
               for t in re.findall(r"^Testprint: (.*)$", output, re.M)]
    keeps = "Normal delivery will occur" in output
    return list(dict.fromkeys(saved)), list(dict.fromkeys(sent)), printed, keeps


LATER = ("save: ", "pipe: no path", "mail: no f", "mail: fields", "mail: a file with a mistake", "vacation: no file")
OWN = ("bob@example.org", "bob+news@example.org")


def of_postern(told):
    if told["outcome"] != "done":
        return "error"
    saved = [a["text"] for a in told["actions"] if a["action"] == "file"]
    sent = [a["text"] for a in told["actions"] if a["action"] == "redirect"]
    printed = [unescaped(s["what"].removeprefix('testprint "')[:-1]) for s in told["steps"] if s["what"].startswith("testprint")]
    keeps = any(a["action"] == "inbox" and a["line"] == 0 for a in told["actions"])
    return saved, sent, printed, keeps


@pytest.fixture(scope="module")
def exim(tmp_path_factory):
    """A function: filter, message and sender to what Exim says."""
    if EXIM is None:
        pytest.skip("not here: Exim (exim4, or POSTERN_EXIM names it)")
    folder = tmp_path_factory.mktemp("exim")
    (folder / "spool").mkdir()
    (folder / "conf").write_text(f"primary_hostname = mx1.example.test\nqualify_domain = example.org\nspool_directory = {folder}/spool\n"
                                 f"log_file_path = {folder}/spool/%slog\nnever_users =\nkeep_environment =\nbegin routers\nbegin transports\n")
    # Debian's user is compiled in: where it is missing, a passwd of our own takes the place of the system's, for Exim alone.
    before = []
    if subprocess.run(["getent", "passwd", "Debian-exim"], capture_output=True, check=False).returncode != 0:
        if not ROOT:
            pytest.skip("not here: a user Debian-exim")
        for name, line in (("passwd", "Debian-exim:x:990:990::/nonexistent:/usr/sbin/nologin\n"), ("group", "Debian-exim:x:990:\n")):
            (folder / name).write_text((TOP.__class__("/etc") / name).read_text() + line)
        os.chown(folder / "spool", 990, 990)
        before = ["unshare", "-m", "sh", "-c", f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group && exec \"$@\"", "sh"]

    def ask(text, message, sender):
        (folder / "filter").write_text(text)
        done = subprocess.run([*before, EXIM, "-C", folder / "conf", "-f", sender or "<>", "-bfl", "bob", "-bfs", "+news", "-bfd", "example.org",
                               "-bf", folder / "filter"], input=message, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr
    return ask


def test_exim_does_the_same(tmp_path, exim):
    different, compared = [], 0
    for case in cases():
        if case["name"] in itertools.chain(NOT_SHOWN, *OTHERWISE.values()):
            continue
        theirs = of_exim(exim(case["filter"], case["message"], case["sender"]))
        ours = of_postern(as_json(tmp_path, case["filter"], case["message"], "--sender", case["sender"] or "<>", "--recipient",
                                  "bob+news@example.org", "--home", os.path.expanduser("~"), "--user", "root" if ROOT else getpass.getuser()))
        compared += 1
        if theirs != "error":
            theirs = (theirs[0], [a for a in theirs[1] if a not in OWN], *theirs[2:])
        # What Exim would only find when it delivers: a file's name, a program.
        if ours != theirs and not (ours == "error" and case["name"].startswith(LATER)):
            different.append(f"{case['name']}\n  Exim    {theirs}\n  Postern {ours}")
    assert not different, "\n".join(different)
    assert compared >= 90


def test_exim_does_the_same_by_chance(tmp_path, exim):
    """Filters that nobody wrote; POSTERN_EXIM_FEW says how many, POSTERN_EXIM_SEED which."""
    few, first = int(os.environ.get("POSTERN_EXIM_FEW", 60)), int(os.environ.get("POSTERN_EXIM_SEED", 20261128))
    for seed in range(first, first + few):
        text = exim_filters.make(seed)
        theirs = of_exim(exim(text, exim_filters.MESSAGE, "alice@example.test"))
        ours = of_postern(as_json(tmp_path, text, exim_filters.MESSAGE, "--sender", "alice@example.test", "--recipient", "bob+news@example.org",
                                  "--home", os.path.expanduser("~"), "--user", getpass.getuser()))
        ours = (*ours[:2], [t.replace("\ufffd", "?") for t in ours[2]], ours[3])
        theirs = (theirs[0], [a for a in theirs[1] if a not in OWN], [t.replace("\ufffd", "?") for t in theirs[2]], theirs[3])
        assert ours == theirs, f"seed {seed}\n{text}"


def test_exim_refuses_what_is_refused(exim):
    """What is a mistake to Exim too, so that the words of its specification are read as it reads them."""
    for part in re.split(r"^== ", (GOLDEN / "exim-mistakes").read_text(), flags=re.M)[1:]:
        name, _, rest = part.partition("\n")
        text = re.split(r"^-- ", rest, maxsplit=1, flags=re.M)[0]
        if name in ("an unknown command", "in capitals", "else without if", "endif without if", "two else", "no then", "no condition",
                    "a condition that is not finished", "no verb", "a wrong verb", "a bracket too few", "a bracket too many",
                    "foranyaddress without brackets", "no argument", "a quote is missing", "add without to", "seen twice", "seen before nothing",
                    "return without message", "an unknown variable", "a dollar sign alone", "a field in braces", "${if: not closed"):
            assert "Filter error" in exim(text, MESSAGE, "alice@example.test"), name


# ---- promises ----

def test_the_forward_file_of_the_seed_runs_unchanged(tmp_path):
    """Junk by a status or a flag, a list, a word of the body, and the catch-all; also as the page shows it, where each endif is lost."""
    filters = [c for c in cases() if c["name"].startswith(("the forward file", "the same"))]
    assert len(filters) == 8
    wanted = {"spam": "Maildir/.Junk/", "list": "Maildir/.Lists.debian-news/", "body": "Maildir/.Foobar/"}
    for case in filters:
        told = as_json(tmp_path, case["filter"], case["message"])
        where = next((w for word, w in wanted.items() if word in case["name"].partition(":")[2]), None)
        kept = where is None and "without endif" in case["name"]
        expected = ["inbox"] if kept else [where or "Maildir/"]
        assert [a.get("text", a["action"]) for a in told["actions"]] == expected, case["name"]


def test_data_is_never_evaluated(tmp_path):
    """E09: whatever means something to us, to Exim, to a shell or to printf is text in every place a filter can put it."""
    evil = "${run{/bin/id}} $home ${lookup{x}lsearch{/etc/passwd}} {recipient} \\n %n %s $(id) `id` \\1 $1 ; | \"'"
    text = ('# Exim filter\nif $h_subject: matches "(?s)^(.*)\\\\$" then\nunseen save "x/$1"\nunseen pipe "/bin/cat $1 \'$1\' $h_x-tag:"\n'
            'unseen mail to c@example.net subject "$1" text "$h_x-tag:"\nheaders add "X-Copy: $1"\nendif\n')
    told = as_json(tmp_path, text, f"From: a@example.net\nSubject: {evil}\nX-Tag: {evil}\n\n{evil}\n", "--home", "/home/bob")
    places = {a["action"]: a for a in told["actions"]}
    row("E09", "filter-file", places["file"]["text"] == "x/" + evil)
    row("E09", "filter-pipe", places["pipe"]["arguments"] == ["/bin/cat", evil, evil, evil])
    row("E09", "filter-mail", f"\nSubject: {evil}\n" in places["mail"]["text"] and places["mail"]["text"].endswith(f"\n\n{evil}\n"))
    row("E09", "filter-header", places["add-header"]["text"] == "X-Copy: " + evil)


def test_circles_of_lists_end(tmp_path):
    """F17: a list that includes itself, by its own name or through a symbolic link, and a chain of a thousand."""
    (tmp_path / "a").write_text(f":include:{tmp_path}/a\n")
    row("F17", "self", as_json(tmp_path, f":include:{tmp_path}/a\n")["outcome"] == "later")
    for i in range(1000):
        (tmp_path / f"l{i}").symlink_to(tmp_path / "b")
    (tmp_path / "b").write_text("".join(f":include:{tmp_path}/l{i}\n" for i in range(1000)))
    told = as_json(tmp_path, f":include:{tmp_path}/b\n")
    row("F17", "symlinks", told["outcome"] == "later" and told["actions"] == [])
    for i in range(1000):
        (tmp_path / f"c{i}").write_text(f":include:{tmp_path}/c{i + 1}\n")
    told = as_json(tmp_path, f":include:{tmp_path}/c0\n")
    row("F17", "chain", told["outcome"] == "later" and "too deep" in told["why"] and len(told["steps"]) == 10)
