"""What owners want done with their mail: .forward files and filters, at the end of a real delivery; and who may not speak for them."""

import email
import os
import pwd

import pytest

from harness import row, wait_until

USERS = ["alice@example.test", "bob@example.test"]


@pytest.fixture
def people(suite, tmp_path):
    """Virtual users of ours.test, whose folders hold their Maildir and their files."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    mail = suite.folder / "mail"
    owner = mail.stat()
    user = pwd.getpwuid(owner.st_uid).pw_name
    suite.tables += "table ours { ours.test }\n"
    suite.routes = "\tdeliver people if recipient.domain in ours\n" + suite.routes

    class People:
        more = ""

        def start(self):
            suite.transports += (f'transport people {{ maildir "{mail}/p/{{local}}/Maildir/" user {user} forward "~/.forward" '
                                 f'filter "~/.sieve" {self.more} }}\n')
            return suite.start()

        def folder(self, name):
            path = mail / "p" / name
            path.mkdir(parents=True, exist_ok=True)
            for one in (path, path.parent):
                os.chown(one, owner.st_uid, owner.st_gid)
            return path

        def write(self, name, text, file=".forward", mode=0o600):
            path = self.folder(name) / file
            path.write_text(text)
            os.chown(path, owner.st_uid, owner.st_gid)
            path.chmod(mode)
            return path

        def mail(self, name, folder=None, place="new"):
            path = mail / "p" / name / "Maildir" / (f".{folder}" if folder else "") / place
            return sorted(path.iterdir()) if path.is_dir() else []

        def texts(self, name, folder=None):
            return [p.read_text() for p in self.mail(name, folder)]
    return People()


def send(suite, to, text="Subject: hello\n\nhello\n", sender="you@elsewhere.test"):
    c = suite.smtp()
    c.ehlo()
    got = c.message(sender, to, text)
    c.close()
    assert got.startswith("250"), got


def last_of(suite):
    return wait_until(lambda: [m["last"] for m in suite.queue() if m["last"]], what="a deferral")[0]


def test_a_list_of_addresses_and_the_mailbox_itself(suite, people):
    people.write("bob", "\\bob, alice@example.test # both\n")
    people.start()
    send(suite, "bob@ours.test")
    suite.wait_messages("alice@example.test")
    wait_until(lambda: people.mail("bob"), what="her own")
    (text,) = people.texts("bob")
    assert text.startswith("Return-Path: <you@elsewhere.test>\n") and "Delivered-To: bob@ours.test\n" in text
    wait_until(lambda: not suite.queue(), what="an empty queue")


def test_forwards_in_a_circle_end_in_mailboxes(suite, people):
    people.write("bob", "carol@ours.test\n")
    people.write("carol", "bob@ours.test, dave@ours.test\n")
    people.start()
    send(suite, "bob@ours.test")
    wait_until(lambda: people.mail("bob") and people.mail("dave"), what="both")
    wait_until(lambda: not suite.queue(), what="an empty queue")
    row("L05", "forward-circle", len(people.mail("bob")) == 1 and len(people.mail("dave")) == 1 and not people.mail("carol"))


@pytest.mark.parametrize("what", ["broken", "group", "others", "link", "fifo", "folder", "large", "program"])
def test_a_file_that_is_not_to_be_believed_delays(suite, people, what):
    """Nothing is lost, nobody gets half of it, and it goes on once the owner has mended it."""
    good = "alice@example.test\n"
    path = people.write("bob", good, mode={"group": 0o620, "others": 0o602}.get(what, 0o600))
    if what == "broken":
        path.write_text("alice@example.test, <<no address>\n")
    elif what == "link":
        path.rename(path.with_name("real"))
        path.symlink_to("real")
    elif what == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif what == "folder":
        path.parent.chmod(0o777)
    elif what == "large":
        path.write_text("#" * 300000 + "\n" + good)
    elif what == "program":
        path.write_text("|/bin/true\n")
    people.start()
    send(suite, "bob@ours.test")
    said = last_of(suite)
    for ident in ["L05", "O03"]:
        row(ident, f"forward-{what}", said.startswith("451") and not people.mail("bob") and not suite.messages("alice@example.test"))
    path.parent.chmod(0o755)
    path.unlink()
    people.write("bob", good)
    suite.postern("queue", "retry", "all")
    suite.wait_messages("alice@example.test")


def test_a_program_of_a_forward_file_runs_as_its_owner(suite, people):
    place = people.folder("bob")
    program = place / "program"
    program.write_text(f'#!/bin/sh\ncat > {place}/got; printf "%s\\n" "$@" > {place}/words; id -u > {place}/uid\n')
    program.chmod(0o755)
    people.write("bob", f'"|{program} \'a b\' $(id)"\n')
    people.more = "programs yes"
    people.start()
    send(suite, "bob@ours.test")
    wait_until(lambda: (place / "uid").exists() and (place / "uid").read_text(), what="the program")
    row("L06", "forward-program-uid", int((place / "uid").read_text()) == place.stat().st_uid)
    assert (place / "words").read_text() == "a b\n$(id)\n" and (place / "got").read_text().endswith("\nhello\n")


def test_filters_in_both_languages(suite, people):
    people.write("bob", '# Exim filter\nif $h_Subject: contains "list" then save Maildir-lists/ finish endif\n')
    people.write("carol", 'require ["fileinto", "imap4flags", "mailbox"];\n'
                 'if header :contains "subject" "list" { fileinto :create :flags "\\\\Seen" "Lists/ü"; }\n', ".sieve")
    people.start()
    for name in ("bob", "carol"):
        send(suite, f"{name}@ours.test", "Subject: a list\n\nx\n")
        send(suite, f"{name}@ours.test", "Subject: none\n\nx\n")
    wait_until(lambda: people.mail("bob") and people.mail("carol"), what="what stays")
    lists = people.folder("bob") / "Maildir-lists" / "new"
    wait_until(lambda: lists.is_dir() and list(lists.iterdir()), what="what is saved")
    (seen,) = wait_until(lambda: people.mail("carol", "Lists.&APw-", "cur"), what="what is filed")
    assert seen.name.endswith(":2,S")
    assert len(people.mail("bob")) == len(people.mail("carol")) == 1


def test_a_vacation_is_answered_once(suite, people):
    people.write("bob", 'require "vacation";\nvacation :subject "away" "I am away";\n', ".sieve")
    people.start()
    for _ in range(3):
        send(suite, "bob@ours.test", "To: bob@ours.test\nSubject: x\n\nx\n", "alice@example.test")
    wait_until(lambda: len(people.mail("bob")) == 3, what="all three")
    suite.wait_messages("alice@example.test")
    wait_until(lambda: not suite.queue(), what="an empty queue")
    (reply,) = suite.messages("alice@example.test")
    reply = email.message_from_bytes(reply)
    assert reply["Auto-Submitted"].startswith("auto-replied") and reply["Return-Path"] == "<>"


def test_what_a_filter_refuses_goes_back(suite, people):
    people.write("bob", 'require "reject";\nreject "not today";\n', ".sieve")
    people.start()
    send(suite, "bob@ours.test", sender="alice@example.test")
    suite.wait_messages("alice@example.test")
    (report,) = suite.messages("alice@example.test")
    assert b"not today" in report and not people.mail("bob")


def test_a_broken_filter_keeps_the_mail_and_tells_its_owner_once(suite, people):
    people.write("bob", "if { this is none }\n", ".sieve")
    people.start()
    for _ in range(3):
        send(suite, "bob@ours.test")
    wait_until(lambda: len(people.mail("bob")) == 4, what="three messages and a word")
    wait_until(lambda: not suite.queue(), what="an empty queue")
    told = [t for t in people.texts("bob") if "your mail filter failed" in t]
    assert len(told) == 1 and "line 1" in told[0] and len(people.mail("bob")) == 4
