"""Logins by PAM: the system's own users by pam_unix, and modules that fail, ask too much, or misbehave."""

import base64
import concurrent.futures
import os
import re
import shutil
import subprocess
import time

import pytest

from harness import BUILD, TOP, row, system_user, wait_until

PASSWORD = "correct-horse-battery"
PROBE = BUILD / "unit" / "pam_probe.so"
LOGIN = "alice@example.test"


def service(suite, *lines):
    """A PAM service of the test's own, beside a copy of the module that the cage lets it load."""
    folder = suite.folder / "pam"
    folder.mkdir(exist_ok=True)
    suite.folder.parent.chmod(0o755)
    if not (folder / "pam_probe.so").exists():
        shutil.copy(PROBE, folder)
    path = folder / "probe"
    path.write_text("".join(line.replace("PROBE", f"{folder}/pam_probe.so") + "\n" for line in lines))
    suite.tables = 'table our_domains { "example.test" }\ntable our_users { "alice@example.test" "bob@example.test" }\n'
    plain = type(suite).conf
    suite.conf = lambda: plain(suite).replace(f'sqlite "{suite.folder}/users/users.db" }}', f'pam "{path}" }}', 1)
    return path




def words_of(suite, login=LOGIN, password=PASSWORD):
    c = suite.smtp(suite.submissions, tls=True, seconds=40)
    c.ehlo()
    try:
        return c.command("AUTH PLAIN " + base64.b64encode(f"\0{login}\0{password}".encode()).decode())
    finally:
        c.close()


def code_of(suite, login=LOGIN, password=PASSWORD):
    return words_of(suite, login, password)[:3]


@pytest.fixture
def probed(suite):
    service(suite, f"auth required PROBE {PASSWORD}", "account required PROBE")
    return suite.start(users=())


def test_right_and_wrong_passwords(probed):
    c = probed.login(password=PASSWORD)
    c.message(LOGIN, "bob@example.test")
    probed.wait_messages("bob@example.test")
    assert code_of(probed, password="wrong") == "535"
    assert PASSWORD not in probed.log()
    row("A07", "pam", code_of(probed, "../../shadow", PASSWORD) == "535")


# What the module does, which a login tells it, and what a client hears: of a locked account what it hears of a wrong password,
# of our own failures a 454.
VERDICTS = {
    "account=13": "535", "account=6": "535", "account=12": "535", "account=4": "454", "account=9": "454", "auth=4": "454",
    "auth=9": "454", "auth=7": "535", "auth=10": "535", "auth=8": "454", "messages=0": "454", "messages=2": "235",
    "messages=64": "454", "style=7": "454",
}


def test_what_modules_say(probed):
    """PAM_ACCT_EXPIRED 13, PERM_DENIED 6, NEW_AUTHTOK_REQD 12, SYSTEM_ERR 4, AUTHINFO_UNAVAIL 9, AUTH_ERR 7, USER_UNKNOWN 10,
    CRED_INSUFFICIENT 8; PAM_BINARY_PROMPT is style 7."""
    for login, code in VERDICTS.items():
        row("E21", login, code_of(probed, login) == code)
    row("E21", "log-says-why", probed.wait_log("account: User account has expired"))


def test_a_module_says_who_the_user_is(suite):
    """PAM_USER is the login, for the rules too; so that no other spelling of a name is another account."""
    service(suite, f"auth required PROBE {PASSWORD}", "account required PROBE")
    suite.policy = 'policy mail {\n\treject "it is {login}" if login != ""\n}\n'
    suite.start(users=())
    said = []
    for login in (f"map={LOGIN}", f"x,map={LOGIN}", "MAP=Alice@Example.TEST", LOGIN):
        c = suite.smtp(suite.submissions, tls=True, seconds=40)
        c.ehlo()
        c.auth_plain(login, PASSWORD)
        said.append(c.command(f"MAIL FROM:<{LOGIN}>"))
        c.close()
    row("E21", "mapped-login", said == [said[-1]] * 4 and f"it is {LOGIN}" in said[-1])
    accepted = re.compile(rf"login-accepted .*login={re.escape(LOGIN)} ")
    row("E21", "mapped-login-in-the-log", wait_until(lambda: len(accepted.findall(suite.log())) == 4, what="four logins in the log"))
    row("E21", "mapped-to-nobody", code_of(suite, "map=") == "454")
    row("E21", "mapped-to-no-name", code_of(suite, "odd") == "454" and suite.wait_log("no name we take"))
    row("E21", "mapped-wrong-password", code_of(suite, f"map={LOGIN}", "wrong") == "535")


def test_a_module_that_misbehaves_costs_one_login(probed):
    """It may write no file and make no socket; what dies or hangs in it leaves the others their logins."""
    deeds = ["write", "connect", "hang"]
    with concurrent.futures.ThreadPoolExecutor() as others:
        told = [others.submit(code_of, probed, deed) for deed in deeds]
        assert code_of(probed) == "235"
        for deed, code in zip(deeds, told):
            row("N06", f"pam-{deed}", code.result(60) == "454")
    row("N06", "pam-wrote-nothing", not os.path.exists("/tmp/postern-pam-probe"))


def test_a_service_that_is_not_there_and_a_reload(suite):
    """Never PAM's `other`; and another service takes another authd, at a reload."""
    path = service(suite, f"auth required PROBE {PASSWORD}", "account required PROBE")
    good = suite.conf()
    suite.conf = lambda: good.replace(f'pam "{path}"', "pam postern-has-no-such-service")
    suite.start(users=())
    assert code_of(suite) == "454"
    suite.wait_log("there is no such PAM service")
    suite.write_conf(good)
    suite.postern("reload")
    wait_until(lambda: code_of(suite) == "235", 60, "a login by the other service")
    row("A4", "pam-service", suite.wait_log("restart-for-reload role=authd"))


def nobody_at_home(name, *options):
    return system_user(name, "--no-create-home", "--shell", "/usr/sbin/nologin", *options, password=PASSWORD)


@pytest.mark.root
def test_users_of_the_system(suite):
    """pam_unix as it is shipped, by the group shadow; not for users of the system's own, whatever their password."""
    number = os.getpid()
    service(suite, *(TOP / "etc/pam.d/postern").read_text().splitlines())
    alice, old, daemon = (f"pam{letter}{number}" for letter in "xyz")
    with nobody_at_home(alice), nobody_at_home(old, "--expiredate", "2001-01-01"), nobody_at_home(daemon, "--system"):
        subprocess.run(["passwd", "--lock", daemon], capture_output=True)
        suite.start(users=())
        got = [code_of(suite, alice), code_of(suite, alice, "wrong"), code_of(suite, old), code_of(suite, daemon),
               code_of(suite, "root"), code_of(suite, "nobody-at-all")]
        row("A01", "pam-unix", got == ["235", "535", "535", "535", "535", "535"])
        row("A11", "pam-expired-or-locked", got[2:4] == ["535", "535"])
        for name in (alice, old, daemon, "nobody-at-all"):
            began = time.monotonic()
            said = words_of(suite, name, "wrong")
            row("A01", f"pam-{name.rstrip('0123456789')}-no-sooner", said == "535 5.7.8 authentication failed" and time.monotonic() - began >= 0.095)
