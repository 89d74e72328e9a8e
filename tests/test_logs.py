"""Every event is one line, wherever lines go; the queue id is in each line of a message, and each refusal names its cause."""

import contextlib
import os
import re
import shutil
import socket
import threading

import pytest

from harness import row, wait_until


def some_mail(suite):
    c = suite.smtp()
    c.ehlo()
    ident = c.message("you@elsewhere.test", "alice@example.test").split()[-1]
    suite.wait_messages("alice@example.test")
    c.close()
    return ident


def events(text):
    """Lines as dicts; every line must be one event."""
    found = []
    for line in text.splitlines():
        if line == "ready":
            continue
        head = re.match(r"\S+Z (debug|info|warn|error) (\w+)\[(\d+)\] ([\w-]+)( |$)", line)
        assert head, f"no event: {line!r}"
        found.append(dict(re.findall(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)', line), event=head[4], role=head[2], line=line))
    return found


def test_the_life_of_a_message_by_its_id(running):
    ident = some_mail(running)
    wait_until(lambda: running.queue() == [], what="an empty queue")

    def mine():
        return [e for e in events(running.log()) if ident in e["line"]]
    wait_until(lambda: {"accepted", "delivered", "message-ended"} <= {e["event"] for e in mine()}, what="its whole life")
    row("A3", "queue-id", all(e.get("id") == ident for e in mine()))


def test_each_refusal_names_its_cause(running):
    c = running.smtp()
    c.ehlo()
    c.command("MAIL FROM:<you@elsewhere.test>")
    c.command("RCPT TO:<nobody@example.test>")
    c.command("RCPT TO:<you@far.test>")
    c.command("RCPT TO:<a@b@c>")
    c.command("DATA")
    c.command("AUTH PLAIN AGFsaWNlAHNlY3JldA==")
    c.command("WHAT")
    for code, what in (("550", "nobody@example.test"), ("550", "you@far.test"), ("553", "verb=RCPT"), ("503", "verb=DATA"),
                       ("503", "verb=AUTH"), ("500", "cause=")):
        running.wait_log(rf"code={code}\b.*{re.escape(what)}|{re.escape(what)}.*code={code}\b")
    refused = [e for e in events(running.log()) if e.get("code", "")[:1] in ("4", "5")]
    row("A3", "refusals", len(refused) >= 6 and all(len(e.get("cause", "")) > 3 for e in refused))
    assert any("postern.conf:" in e["line"] for e in refused), "the rule that refused"


def test_hostile_bytes_stay_in_their_line(running):
    c = running.smtp()
    c.command('EHLO x\x1b[31m\x07"')
    c.ehlo()
    c.command('MAIL FROM:<"a\\\x7f"@elsewhere.test> X="\x08')
    c.command("XYZ \\\" id=1 event=faked\x0b")
    some_mail(running)
    text = (running.folder / "log").read_bytes()
    assert all(b in b"\n" or 32 <= b < 127 for b in set(text))
    events(running.log())
    row("N10", "log-lines", not re.search(r"\sevent=faked(\s|$)", re.sub(r'"(?:[^"\\]|\\.)*"', "", running.log())))


def test_to_a_file_and_again_after_it_was_rotated(suite):
    folder = suite.folder / "logs"
    folder.mkdir()
    if suite.as_root:
        shutil.chown(folder, "postern-log", "postern-log")
    path = folder / "mail.log"
    suite.settings += f'log "{path}"\n'
    suite.start()
    ident = some_mail(suite)
    wait_until(lambda: path.exists() and f"id={ident}" in path.read_text(), what="the line in the file")
    assert path.stat().st_mode & 0o007 == 0, "others do not read it"
    path.rename(folder / "mail.log.1")

    def again():
        some_mail(suite)
        return path.exists() and "accepted" in path.read_text()
    wait_until(again, what="a new file")
    events(path.read_text())


class Receiver:
    """A datagram socket, as syslog and the journal have; reads all the time, for nobody waits for it."""

    def __init__(self, path):
        self.path, self.packets = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with contextlib.suppress(OSError):
            while packet := self.socket.recv(65536):
                self.packets.append(packet)

    def wait(self, word):
        return wait_until(lambda: next((p for p in self.packets if word.encode() in p), None), what=word)


@pytest.fixture
def receiver(tmp_path):
    r = Receiver(tmp_path / "socket")
    yield r
    r.socket.shutdown(socket.SHUT_RDWR)
    r.socket.close()


def put_in_place(receiver, where):
    """A prefix that runs a program where that socket has the well-known name, whatever is on this machine."""
    folder = receiver.parent / "place"
    (folder / os.path.basename(where)).parent.mkdir()
    script = f"""set -e
mount --make-rprivate /
mkdir -p {folder}
for d in null zero full random urandom; do [ {os.path.dirname(where)} != /dev ] || {{ touch {folder}/$d; mount --bind /dev/$d {folder}/$d; }}; done
touch {folder}/{os.path.basename(where)}
mount --bind {receiver} {folder}/{os.path.basename(where)}
[ {os.path.dirname(where)} = /dev ] || mkdir -p {os.path.dirname(where)}
mount --rbind {folder} {os.path.dirname(where)}
exec "$@" """
    return ["unshare", "-m", "sh", "-c", script, "sh"]


@pytest.mark.root
def test_to_syslog(suite, receiver):
    suite.settings += "log syslog\n"
    suite.prefix = put_in_place(receiver.path, "/dev/log")
    suite.start()
    ident = some_mail(suite)
    packet = receiver.wait(f"id={ident}")
    assert re.match(rb"<2\d>\w{3} [ \d]\d \d\d:\d\d:\d\d postern-\w+\[\d+\]: ", packet) and b"\n" not in packet.rstrip(b"\n")


@pytest.mark.root
def test_to_the_journal(suite, receiver):
    suite.settings += "log journald\n"
    suite.prefix = put_in_place(receiver.path, "/run/systemd/journal/socket")
    suite.start()
    ident = some_mail(suite)
    packet = receiver.wait(ident)
    fields = dict(line.split(b"=", 1) for line in packet.splitlines() if b"=" in line)
    assert ident.encode() in fields[b"MESSAGE"] and fields[b"PRIORITY"].isdigit()
    assert fields[b"SYSLOG_IDENTIFIER"].startswith(b"postern")


@pytest.mark.parametrize("lowest", ["debug", "info", "warn"])
def test_levels(suite, lowest):
    suite.settings += f"log_level {lowest}\n"
    suite.start()
    some_mail(suite)
    levels = ["debug", "info", "warn"]
    seen = {e["line"].split(" ")[1] for e in events(suite.log())}
    assert seen <= {*levels[levels.index(lowest):], "error"}, seen
    assert lowest == "warn" or lowest in seen, f"no line of level {lowest}"
