"""What lies in the memory of every process: private keys in keyd alone, a password nowhere once its login is over."""

import base64
import contextlib
import re

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from harness import RSA, Smtp, make_certificate, program, row

SECRET = "a canary of Jade & Ötzi 7391"
PIECE = 4 << 20


def regions(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line):
                yield int(found[1], 16), int(found[2], 16)


def memory(pid):
    """What a process can have written, in pieces that overlap."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/mem", "rb", 0) as f:
        for start, end in regions(pid):
            for at in range(start, end, PIECE):
                with contextlib.suppress(OSError):
                    f.seek(at)
                    yield f.read(min(end - at, PIECE + 4096))


def words(pid):
    """Its arguments and its environment."""
    for file in ("cmdline", "environ"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{file}", "rb") as f:
            yield f.read()


def holders(suite, needles):
    """name -> roles of the processes that have it in memory, in its arguments or in their environment."""
    found = {name: set() for name in needles}
    for pid in suite.children():
        role = program(pid)
        for text in [*words(pid), *memory(pid)]:
            for name, forms in needles.items():
                if any(form in text for form in forms):
                    found[name].add(role)
    return found


def forms(number):
    """As in a file and as in a machine's limbs; a part is enough."""
    size = (number.bit_length() + 7) // 8
    return [number.to_bytes(size, "big")[:24], number.to_bytes(size, "little")[:24], number.to_bytes(size, "little")[-24:]]


def secrets_of(path):
    text = path.read_bytes()
    numbers = load_pem_private_key(text, None).private_numbers()
    parts = {"pem": [text.split(b"\n")[2][:48]]}
    for part in ("d", "p", "q", "private_value"):
        if hasattr(numbers, part):
            parts[part] = forms(getattr(numbers, part))
    return parts


class Named(Smtp):
    """Asks for one certificate by its name."""

    def __init__(self, port, name, **options):
        self.name = name
        super().__init__(port, **options)

    def wrap(self):
        import ssl
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname=self.name)


@pytest.fixture
def served(suite):
    """Three keys in use, by shared workers and by processes of one session each, which live on."""
    made = {"mx.example.test": (suite.certificate, suite.key), "mail.example.net": make_certificate(suite.folder, ("mail.example.net",), "net"),
            "rsa.example.test": make_certificate(suite.folder, ("rsa.example.test",), "rsa", kind=RSA)}
    suite.tls_hosts = "".join(f'host {name} {{ certificate "{made[name][0]}"  key "{made[name][1]}" }}\n' for name in list(made)[1:])
    suite.keys = {name: key for name, (_, key) in made.items()}
    suite.start(users=())
    suite.add_user("alice@example.test", SECRET)
    suite.clients = []
    for name in made:
        clear = Named(suite.mx, name)
        clear.ehlo()
        clear.starttls()
        clear.ehlo()
        inside = Named(suite.submissions, name, tls=True)
        inside.ehlo()
        suite.clients += [clear, inside]
    return suite


@pytest.mark.root
def test_keys_are_in_keyd_alone(served):
    needles = {f"{name} {part}": texts for name, path in served.keys.items() for part, texts in secrets_of(path).items()}
    found = holders(served, needles)
    for what, roles in found.items():
        row("T10", f"{what.replace(' ', '-')}-in-no-other-process", roles <= {"postern-keyd"})
    # The search finds what is there.
    assert all(any(found[f"{name} {part}"] for part in ("d", "p", "q", "private_value") if f"{name} {part}" in found) for name in served.keys)


@pytest.mark.root
def test_a_password_is_nowhere_after_its_login(served):
    plain = base64.b64encode(f"\0alice@example.test\0{SECRET}".encode()).decode()
    done = served.clients[1::2]
    for i, c in enumerate(done):
        if i == 0:
            c.expect(235, f"AUTH PLAIN {plain}")
        elif i == 1:
            c.expect(334, "AUTH LOGIN")
            c.expect(334, base64.b64encode(b"alice@example.test").decode())
            c.expect(235, base64.b64encode(SECRET.encode()).decode())
        else:
            c.expect(334, "AUTH PLAIN")
            c.expect(535, base64.b64encode(f"\0nobody@example.test\0{SECRET}".encode()).decode())
        c.expect(250, "NOOP")
    found = holders(served, {"text": [SECRET.encode()[:24]], "base64": [plain[-32:].encode(), base64.b64encode(SECRET.encode())[:24]],
                             "login": [b"alice@example.test"]})
    for form in ("text", "base64"):
        row("A09", f"password-{form}-in-no-process", found[form] == set())
    assert "postern-smtpd" in found["login"], "the search finds what is there"
    assert SECRET not in served.log() and plain not in served.log()
