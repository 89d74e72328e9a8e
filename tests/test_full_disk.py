"""A full spool: 452 for new mail, nothing lost, delivery of the old goes on."""

import os
import subprocess
import time

import pytest

from harness import row, wait_until

FOLDERS = 3 * (32 + 1024)  # of the spool: for each an inode is kept free until it is made


@pytest.mark.root
def test_no_inodes(suite, next_hop):
    """Many small messages: 452 once there is no room for another file, never a 5xx; the index agrees, and reports still go out."""
    spool = suite.folder / "spool"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=0750", "postern-test", spool], check=True)
    try:
        subprocess.run(["chown", "postern-queue:postern-queue", spool], check=True)
        suite.settings += "trusted 127.0.0.0/8\nspool_reserve 0\n"
        hop = next_hop(script={"MAIL": "451 4.3.0 later"})
        suite.internet = f'smtp "127.0.0.1:{hop.port}"  allow-local yes  tls off'
        suite.start()
        disk = os.statvfs(spool)
        subprocess.run(["mount", "-o", f"remount,nr_inodes={disk.f_files - disk.f_ffree + FOLDERS + 200}", spool], check=True)
        acked, replies = set(), []
        c = suite.smtp(seconds=60)
        c.ehlo()
        for i in range(500):
            got = c.command("MAIL FROM:<alice@example.test>")
            if got.startswith("250"):
                c.expect(250, "RCPT TO:<you@elsewhere.test>")
                got = c.data(f"Subject: m{i}\n\nx\n")
            replies.append(got)
            if got.startswith("250"):
                acked.add(f"m{i}")
            elif len([r for r in replies if r[0] == "4"]) > 5:
                break
        c.close()
        row("R08", "no-inodes-452", any(r.startswith("452") for r in replies) and not any(r[0] == "5" for r in replies) and len(acked) > 50)
        assert {m["id"] for m in suite.queue()} and len(suite.queue()) == len(acked)
        hop.script["MAIL"] = "550 5.7.1 never"
        wait_until(lambda: reported(suite) >= len(acked), 60, "a report for each")
        row("R08", "no-inodes-reports-go-out", len(suite.messages("alice@example.test")) == len(acked))
        wait_until(lambda: suite.queue() == [], what="an empty queue")
        wait_until(lambda: taken(suite), what="room for new mail")
        row("R08", "no-inodes-index-agrees", suite.postern("queue", "check", check=False).returncode == 0)
        suite.stop()
    finally:
        subprocess.run(["umount", "-l", spool], check=True)


def reported(suite):
    suite.postern("queue", "retry", "all", check=False)
    time.sleep(0.5)
    return len(suite.messages("alice@example.test"))


@pytest.mark.root
def test_full_disk(suite, next_hop):
    spool = suite.folder / "spool"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=0750", "postern-test", spool], check=True)
    try:
        subprocess.run(["chown", "postern-queue:postern-queue", spool], check=True)
        suite.settings += "spool_reserve 1M\ntrusted 127.0.0.0/8\n"
        hop = next_hop(script={"MAIL": "451 4.3.0 later"})
        suite.internet = f'smtp "127.0.0.1:{hop.port}"  allow-local yes  tls off'
        suite.start()
        acked, replies = fill(suite)
        for ident in ("C06", "R08"):
            row(ident, "full-disk-452", any(r.startswith("452") for r in replies) and not any(r[0] == "5" for r in replies))
        del hop.script["MAIL"]
        wait_until(lambda: retried(suite, hop) >= len(acked), 60, "all that was accepted")
        got = {data.split(b"Subject: ")[1].split(b"\r")[0].decode() for _, _, data in hop.messages}
        row("C06", "full-disk-nothing-lost", acked <= got)
        wait_until(lambda: suite.queue() == [], what="an empty queue")
        wait_until(lambda: taken(suite), what="room for new mail")
        suite.wait_messages("alice@example.test")
        suite.stop()
    finally:
        subprocess.run(["umount", "-l", spool], check=True)


def retried(suite, hop):
    """What is being tried just now is not what waits: it may fail after the word, and wants it once more."""
    suite.postern("queue", "retry", "all")
    with hop.changed:
        came = len(hop.messages)
        hop.changed.wait_for(lambda: len(hop.messages) > came, 1)
    return len(hop.messages)


def fill(suite):
    acked, replies = set(), []
    for i in range(40):
        c = suite.smtp()
        c.ehlo()
        if not c.command("MAIL FROM:<alice@example.test>").startswith("250"):
            continue
        c.expect(250, "RCPT TO:<you@elsewhere.test>")
        got = c.command("DATA")
        if got.startswith("354"):
            c.send(f"Subject: m{i}\r\n\r\n" + "x" * 70 + "\r\n" + ("y" * 76 + "\r\n") * 13000 + ".\r\n")
            got = c.reply()
        replies.append(got)
        if got.startswith("250"):
            acked.add(f"m{i}")
        c.close()
    return acked, replies


def taken(suite):
    c = suite.smtp()
    c.ehlo()
    c.envelope("you@elsewhere.test", "alice@example.test")
    got = c.data("Subject: new\n\nnew\n")
    c.close()
    return got.startswith("250")
