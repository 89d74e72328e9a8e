"""Attacks that are a session: what a client says, and what it hears.  A table; test_attack_sessions.py runs it."""

import base64
import dataclasses
import random

MAX_BYTEWISE = 64 << 10  # what is larger is sent whole only


@dataclasses.dataclass
class Session:
    """What is said behind EHLO (`greeted`: at once), and the codes of all replies; `A|B`: either; `closed`: and then the end."""
    rows: str  # one or more, with a space between
    variant: str
    said: bytes
    codes: str
    clear: str = None  # where those in clear differ: it has no logins
    login: bool = False  # at the listener for submission, without a login
    greeted: bool = False


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode())


def lines(*texts):
    return b"".join((t if isinstance(t, bytes) else t.encode()) + b"\r\n" for t in texts)


def chunk(octets, last=True):
    return b"BDAT %d%s\r\n" % (len(octets), b" LAST" if last else b"") + octets


FROM, TO = b"MAIL FROM:<you@elsewhere.test>", b"RCPT TO:<alice@example.test>"
MAIL = lines(FROM, TO)
MAIL_DATA = MAIL + b"DATA\r\n"
REFUSED, DEFERRED = lines("MAIL FROM:<refused@elsewhere.test>", TO), lines("MAIL FROM:<deferred@elsewhere.test>", TO)
BODY = b"Subject: x\r\n\r\nx\r\n"
MESSAGE = MAIL_DATA + BODY + b".\r\n"
SENT = "250 250 354 250"  # the codes of MESSAGE
GOOD, FINE = MAIL + b"RSET\r\n", "250 250 250"  # as good for most, and cheaper
EVIL = lines("MAIL FROM:<evil@elsewhere.test>", "RCPT TO:<bob@example.test>", "DATA", "Subject: smuggled", "", "x", ".")
OVER = "503 503"  # no mail is open: RCPT, DATA
GOING_ON = lines(TO, "DATA")


def times(code, n):
    return " ".join([code] * n)


def values_of_parameters():
    """N10, N16: octets that would begin a line or a field of what is kept."""
    for octet in ("0A", "0D", "00", "7F", "0D+0A"):
        yield Session("N16", f"auth-{octet}", lines(FROM + f" AUTH=x+{octet}auth_sender+3Droot".encode()) + GOOD, f"501|555 {FINE}")
        yield Session("N10", f"envid-{octet}", lines(FROM + f" ENVID=x+{octet}y".encode()) + GOOD, f"501 {FINE}")
        yield Session("N10", f"orcpt-{octet}", lines(FROM, TO + f" ORCPT=rfc822;x+{octet}y".encode(), "RSET") + GOOD, f"250 501 250 {FINE}")
    for name, octet in (("lf", b"\n"), ("cr", b"\r"), ("nul", b"\0")):
        yield Session("N10", f"sender-{name}", lines(b"MAIL FROM:<you" + octet + b"evil@elsewhere.test>", TO) + GOOD, f"500|501|553 503 {FINE}")
        yield Session("N10", f"recipient-{name}", lines(FROM, b"RCPT TO:<alice" + octet + b"@example.test>", "DATA", "RSET") + GOOD,
                      f"250 500|501|553 503 250 {FINE}")
        yield Session("N10", f"helo-{name}", lines(b"EHLO a" + octet + b"b") + GOOD, f"500|501 {FINE}")


def in_each_state():
    """Ways to where no chunk is due, and their codes."""
    return {"ready": (b"", ""), "mail": (lines(FROM), "250"), "unknown": (lines(FROM, "RCPT TO:<nobody@example.test>"), "250 550"),
            "reset": (MAIL + b"RSET\r\n", "250 250 250"), "sent": (MAIL + chunk(BODY), "250 250 250"), "data-sent": (MESSAGE, SENT),
            "refused": (MAIL + chunk(b"a\nb\r\n"), "250 250 550")}


def misplaced_chunks():
    octets = b"\r\n.\r\nQUIT\r\n" + EVIL + b"BDAT 99999 LAST\r\nSTARTTLS\r\nGET / HTTP/1.0\r\n"
    yield Session("N14", "greeted", chunk(octets) + lines("NOOP", "EHLO c") + MESSAGE, f"503 250 250 {SENT}", greeted=True)
    for state, (way, codes) in in_each_state().items():
        for last in (False, True):
            yield Session("N14", f"{state}{'-last' if last else ''}", way + chunk(octets, last) + b"NOOP\r\n" + GOING_ON + MAIL + chunk(BODY),
                          f"{codes} 503 250 {OVER} 250 250 250")


def strange_arguments():
    """N17: a parser that looks behind or before what it was given."""
    fillers = ('"', ' "', "=", " = ", '<> "', '<>="', " ", "\t", "<", '<"\\', "<<>>", ">", "<>")
    for verb in ("MAIL FROM:", "RCPT TO:", "MAIL ", "RCPT ", "EHLO ", "VRFY ", "AUTH ", "NOOP "):
        said = [verb + filler * n for filler in fillers for n in (1, 3, 400)]
        yield Session("N17", verb.strip(": ").lower().replace(" ", "-"), lines(FROM) * verb.startswith("RCPT") + lines(*said) + b"RSET\r\n" + GOOD,
                      f"{'250 ' * verb.startswith('RCPT')}{times('250|252|500|501|502|503|504|538|550|553|555', len(said))} 250 {FINE}")
    yield Session("N17", "no-length", lines("MAIL FROM:", "MAIL", "RCPT", "", " ", "\t", "RSET") + GOOD,
                  f"501 501 501|503 500 500 500 250 {FINE}")
    yield Session("N17", "64k-of-spaces", b"MAIL FROM:" + b" " * 65000 + b"\r\n" + GOOD, f"500 {FINE}")
    yield Session("N17", "trailing-spaces", lines(FROM + b"  \t ", "RSET") + GOOD, f"250|501 250 {FINE}")


def histories():
    for n in (0, 1, 9, 10, 11, 19, 20, 21, 32, 64, 128, 256, 2000):
        yield Session("N18", f"{n}-commands", lines(*[("WIZ", "NOOP", "RSET")[i % 3] for i in range(n)]) + lines("DATA", "RSET", "QUIT"),
                      " ".join(["500 250 250".split()[i % 3] for i in range(n)] + ["503 250 221 closed"]))


def long_lines():
    for size in (512, 1000, 2048, 4096, 16384, 65000):
        yield Session("E03", f"ehlo-{size}", b"EHLO " + b"x" * size + b"\r\n" + lines(FROM, "EHLO c") + MESSAGE, f"500|501 503 250 {SENT}", greeted=True)
    for size in (1 << 17, 1 << 20):
        yield Session("E03", f"ehlo-{size}", b"EHLO " + b"x" * size + b"\r\n", "500|501 421 closed", greeted=True)
    yield Session("Z06", "command", lines(b"NOOP " + b"x" * 500) + lines(b"NOOP " + b"x" * 3000) + MESSAGE, f"250 500 {SENT}")
    yield Session("Z06", "text-30k", MAIL_DATA + b"Subject: x\r\n\r\n" + b"y" * 30000 + b"\r\n.\r\nNOOP\r\n", f"{SENT} 250")
    yield Session("Z06", "text-too-long", MAIL_DATA + b"Subject: x\r\n\r\n" + b"y" * 32769 + b"\r\n.\r\n" + MESSAGE, f"250 250 354 500 {SENT}")
    yield Session("Z06", "text-of-dots", MAIL_DATA + b"Subject: x\r\n\r\n" + b"." * 30000 + b"\r\n.\r\nNOOP\r\n", f"{SENT} 250")
    yield Session("F11", "command-2k", lines(b"x" * 3000) + MESSAGE, f"500 {SENT}")
    yield Session("F11", "command-without-end", b"x" * (4 << 20), "500 421 closed")
    yield Session("F11", "chunk-without-end", b"BDAT 10737418240\r\n" + b"x" * (1 << 20), "503 closed")
    yield Session("N15", "header-too-large", MAIL_DATA + b"Subject: x\r\n" + b" x\r\n" * 12000 + b"\r\nx\r\n.\r\n" + GOING_ON + MESSAGE,
                  f"250 250 354 552 {OVER} {SENT}")


def many_recipients():
    yield Session("N12", "200000", lines(FROM) + lines(TO) * 200000 + b"DATA\r\n" + BODY + b".\r\n",
                  f"250 {times('250', 1000)} {times('452', 199000)} 354 250")
    yield Session("N12", "1100", lines(FROM) + lines(TO) * 1100 + b"DATA\r\n" + BODY + b".\r\n", f"250 {times('250', 1000)} {times('452', 100)} 354 250")


def look_alikes():
    """Z01, Z02: what is not CRLF.CRLF, in front of a second mail."""
    for name, end in {"lf-lf": b"\n.\n", "lf-crlf": b"\n.\r\n", "crlf-lf": b"\r\n.\n", "cr-cr": b"\r.\r", "crlf-cr": b"\r\n.\r", "cr-crlf": b"\r.\r\n",
                      "crlf-crcrlf": b"\r\n.\r\r\n", "lf-crcrlf": b"\n.\r\r\n", "nul": b"\r\n\0.\r\n", "nul-behind": b"\r\n.\0\r\n",
                      "lflf": b"\n\n.\n\n", "crcrlf": b"\r\r\n.\r\r\n"}.items():
        yield Session("Z01", name, MAIL_DATA + BODY + end + EVIL + MESSAGE, f"250 250 354 550 {SENT}")
    for name, text in {"lf": b"a\nb", "cr": b"a\rb", "crcrlf": b"a\r\r\nb", "lf-first": b"\na", "cr-last": b"a\r", "lfcr": b"a\n\rb"}.items():
        yield Session("Z02", f"data-{name}", MAIL_DATA + b"Subject: x\r\n\r\n" + text + b"\r\n.\r\n" + GOING_ON + MESSAGE, f"250 250 354 550 {OVER} {SENT}")
        yield Session("Z02", f"header-{name}", MAIL_DATA + b"Subject: " + text + b"\r\n\r\nx\r\n.\r\n" + GOING_ON + MESSAGE,
                      f"250 250 354 550 {OVER} {SENT}")
    yield Session("Z02", "command-lf", b"NOOP\nNOOP\r\n" + MESSAGE, f"500 {SENT}")
    yield Session("Z02", "command-cr", b"NOOP\rNOOP\r\n" + MESSAGE, f"500 {SENT}")
    yield Session("Z02", "command-crcrlf", b"NOOP\r\r\n" + MESSAGE, f"500 {SENT}")


def octets_of_lines():
    for name, text in {"lf": b"a\nb\r\n", "cr": b"a\rb\r\n", "crcrlf": b"a\r\r\nb\r\n", "dot": b"a\n.\r\nb\r\n"}.items():
        yield Session("Z04", f"text-{name}", MAIL + chunk(b"Subject: x\r\n\r\n" + text) + GOING_ON + GOOD, f"250 250 550 {OVER} {FINE}")
        yield Session("Z04", f"binary-{name}", lines(FROM + b" BODY=BINARYMIME", TO) + chunk(b"Subject: x\r\n\r\n" + text) + b"NOOP\r\n", "250 250 250 250")
    yield Session("Z05", "command", b"NOOP\0\r\nNO\0OP\r\n\0\r\n" + GOOD, f"500 500 500 {FINE}")
    yield Session("Z05", "header", MAIL_DATA + b"Subject: a\0b\r\n\r\nx\r\n.\r\n" + GOOD, f"250 250 354 550 {FINE}")
    yield Session("Z05", "body", MAIL_DATA + b"Subject: x\r\n\r\na\0b\r\n.\r\n" + GOOD, f"250 250 354 550 {FINE}")
    yield Session("Z05", "chunk", MAIL + chunk(b"Subject: x\r\n\r\na\0b\r\n") + GOOD, f"250 250 550 {FINE}")
    for name, local in {"two": "ü".encode(), "four": "😀".encode(), "broken": b"\xff", "half": b"\xc3"}.items():
        yield Session("Z07", f"sender-{name}", lines(b"MAIL FROM:<" + local + b"@elsewhere.test>") + GOOD, f"550|553 {FINE}")
        yield Session("Z07", f"recipient-{name}", lines(FROM, b"RCPT TO:<" + local + b"@example.test>", "RSET") + GOOD, f"250 550|553 250 {FINE}")
    yield Session("Z07", "broken-with-smtputf8", lines(b"MAIL FROM:<\xff@elsewhere.test> SMTPUTF8") + GOOD, f"553 {FINE}")
    yield Session("Z07", "command", lines("NÖOP", b"\xff\xfe", "EHLO München") + GOOD, f"500 500 501 {FINE}")


def chunks():
    for name, size in {"65-bits": "18446744073709551616", "negative": "-1", "plus": "+5", "hex": "0x10", "last-last": "1 LAST LAST", "letters": "x",
                       "fraction": "1.0", "comma": "1,LAST", "glued": "1LAST"}.items():
        yield Session("Z08", f"bdat-{name}", MAIL + lines(f"BDAT {size}") + EVIL, "250 250 501 closed")
        yield Session("Z08", f"bdat-{name}-behind-one", MAIL + chunk(BODY, False) + lines(f"BDAT {size}") + EVIL, "250 250 250 501 closed")
    yield Session("Z08", "bdat-nothing", MAIL + lines("BDAT") + EVIL, "250 250 501 closed")
    yield Session("Z08", "bdat-64-bits", MAIL + lines("BDAT 18446744073709551615") + EVIL, "250 250 552 closed")
    yield Session("Z08", "data-behind-bdat", MAIL + chunk(BODY, False) + lines("DATA", "RSET") + MESSAGE, f"250 250 250 503 250 {SENT}")
    yield Session("Z08", "bdat-behind-data", MESSAGE + chunk(BODY) + MAIL + chunk(BODY), f"{SENT} 503 250 250 250")
    yield Session("N19", "bdat-0", MAIL + chunk(b"", False) + chunk(BODY, False) + chunk(b"", False) + chunk(b""), f"250 250 {times('250', 4)}")
    yield Session("N19", "cr-and-lf-apart", MAIL + chunk(b"Subject: x\r", False) + chunk(b"\n", False) + chunk(b"\r", False) + chunk(b"\nx\r", False) +
                  chunk(b"\n") + b"NOOP\r\n", f"250 250 {times('250', 6)}")
    yield Session("N19", "cr-alone-at-the-end", MAIL + chunk(b"Subject: x\r\n\r\nx\r", False) + chunk(b"") + MESSAGE, f"250 250 250 550 {SENT}")
    yield Session("E05", "dots", MAIL + chunk(b".\r\n", False) + chunk(b".\r\n.\r\n\r\n.\r\n") + b"NOOP\r\n", "250 250 250 250 250")
    yield Session("E05", "tiny-chunks", MAIL + chunk(b"Subject: x\r\n\r\n", False) + b"BDAT 1\r\nx" * 3000 + chunk(b""), f"250 250 250 {times('250', 3001)}")
    yield Session("E05", "too-many-chunks", MAIL + chunk(b"Subject: x\r\n\r\n", False) + b"BDAT 0\r\n" * 220000,
                  "250 250 250 ... 421 closed")


def refusals():
    """F08: once a mail was refused there is none."""
    large = lines("y" * 70) * 900
    for name, (said, codes) in {
            "bare": (MAIL_DATA + b"a\nb\r\n.\r\n", "250 250 354 550"), "nul": (MAIL_DATA + b"\0\r\n.\r\n", "250 250 354 550"),
            "loop": (MAIL_DATA + b"Received: by x\r\n" * 60 + b"\r\n.\r\n", "250 250 354 554"),
            "by-rule": (REFUSED + b"DATA\r\n" + BODY + b".\r\n", "250 250 354 550"),
            "for-now-by-rule": (DEFERRED + b"DATA\r\n" + BODY + b".\r\n", "250 250 354 450"),
            "bdat-bare": (MAIL + chunk(b"a\nb\r\n"), "250 250 550"), "bdat-by-rule": (REFUSED + chunk(BODY), "250 250 550"),
            "bdat-for-now": (DEFERRED + chunk(BODY), "250 250 450"),
            "bdat-in-the-middle": (MAIL + chunk(b"a\nb\r\n", False), "250 250 550"),
            "size": (MAIL_DATA + large + b".\r\n", "250 250 354 552"), "bdat-size": (MAIL + chunk(large[:35000], False) + chunk(large[35000:]), "250 250 250 552"),
            "size-announced": (lines(FROM + b" SIZE=1000000"), "552"),
            "data-without-recipient": (lines(FROM, "RCPT TO:<nobody@example.test>", "DATA", "RSET"), "250 550 503 250"),
            "data-with-argument": (MAIL + lines("DATA now", "RSET"), "250 250 501 250")}.items():
        yield Session("F08 N03" if "size" in name else "F08", name, said + GOING_ON + chunk(b"x\r\n") + MESSAGE, f"{codes} {OVER} 503 {SENT}")


def random_session(seed, steps=60):
    """What may stand in a session, in any order, and what a model of RFC 5321 and RFC 3030 hears: no mail, an empty one, one with
    recipients, one in chunks."""
    chance, at, said, codes = random.Random(seed), "none", b"", []
    for _ in range(steps):
        verb = chance.choice("mail to to unknown data bare chunk last broken rset noop vrfy wiz".split())
        if verb == "mail":
            step, code, then = lines(FROM), "250" if at == "none" else "503", "empty" if at == "none" else at
        elif verb in ("to", "unknown"):
            good = at in ("empty", "full")
            step = lines(TO if verb == "to" else "RCPT TO:<nobody@example.test>")
            code, then = ("503", at) if not good else ("250", "full") if verb == "to" else ("550", at)
        elif verb in ("data", "bare"):
            good = at == "full"
            step = b"DATA\r\n" + (BODY + b"a\nb\r\n" * (verb == "bare") + b".\r\n") * good
            code, then = (("354 250" if verb == "data" else "354 550"), "none") if good else ("503", at)
        elif verb in ("chunk", "last", "broken"):
            good = at in ("full", "chunked")
            step = chunk(b"a\nb\r\n" if verb == "broken" else BODY, verb == "last")
            code = "503" if not good else "550" if verb == "broken" else "250"
            then = "chunked" if good and verb == "chunk" else "none"
        else:
            step, code = lines(verb), {"rset": "250", "noop": "250", "vrfy": "501", "wiz": "500"}[verb]
            then = "none" if verb == "rset" else at
        said, at = said + step, then
        codes += code.split()
    return said + b"RSET\r\n", " ".join(codes + ["250"])


def random_sessions():
    for seed in range(12):
        yield Session("F07", f"random-{seed}", *random_session(seed))


def words_in_between():
    session, codes = [b"EHLO c", FROM, TO, TO, b"DATA"], ["250", "250", "250", "250", "354"]
    for word, code in {"NOOP": "250", "HELP": "214", "VRFY x": "252", "EXPN x": "502", "WIZ": "500", "RCPT TO:<bad": "501|503|553", "MAIL FROM:<x": "501|503|553",
                       "STARTTLS x": "501|503", "AUTH X": "501|502|503|504|538", "DATA x": "501|503"}.items():
        for at in range(1, 5):
            said = session[:at] + [word] + session[at:]
            yield Session("F09", f"{word.split(' ')[0].lower()}-{at}", lines(*said) + BODY + b".\r\n",
                          " ".join(codes[:at] + [code] + codes[at:] + ["250"]), greeted=True)


def before_tls():
    """Behind STARTTLS in one segment; in TLS there is no STARTTLS, and what follows is what it is."""
    for name, extra in {"commands": lines("EHLO x", "MAIL FROM:<evil@elsewhere.test>", "RCPT TO:<bob@example.test>"), "garbage": b"\x16\x03\x01junk\r\n", "half": b"NOOP x", "login": lines("AUTH PLAIN " + b64("\0a\0b").decode())}.items():
        yield Session("F01 T01", name, b"STARTTLS\r\n" + extra, {"commands": "503 250 250 250", "garbage": "503 500", "half": "503",
                                                              "login": "503 502|503|535|538"}[name], clear="220|421 ... closed")
    yield Session("T04", "argument", lines("STARTTLS now", "NOOP"), "501|503 250")
    yield Session("T04", "in-a-mail", lines(FROM, "STARTTLS", "RSET") + MESSAGE, f"250 503 250 {SENT}")
    yield Session("T04", "behind-recipients", MAIL + lines("STARTTLS", "DATA") + BODY + b".\r\n", "250 250 503 354 250")
    yield Session("T03", "envelope", lines(FROM, "STARTTLS", TO, "RSET"), "250 503 250 250")


def other_protocols():
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n" + EVIL
    for name in ("GET / HTTP/1.1", "POST / HTTP/1.1", "HEAD / HTTP/1.1", "Host: mx", "Connection: close", "OPTIONS * HTTP/1.1"):
        for greeted in (True, False):
            yield Session("S06", f"{name.split()[0].strip(':').lower()}{'' if greeted else '-ready'}", lines(name, "Host: mx", "", "") + EVIL, "421 closed",
                          greeted=greeted)
    yield Session("S06", "client-hello", hello, "500 503 503 503 500 500 500 500", clear="421 closed", greeted=True)


def logins():
    """Nothing of these is a login; in clear none of it is even looked at."""
    def refused(row, variant, said, codes, count=1):
        return Session(row, variant, said, codes, clear=times("538", count), login=True)
    for size in (1, 2, 3, 5, 9, 13, 77, 255, 1021, 1025):
        yield refused("E04", f"length-{size}", lines(b"AUTH PLAIN " + b"A" * size), "501")
    for name, text in {"padding-first": "=AAA", "padding-inside": "AA=A", "too-much-padding": "A====", "space": "AAAA AAAA", "nul": "AA\0A",
                       "eight-bit": "AAé=", "end": "AAAA!", "padding-behind": "AAAA="}.items():
        yield Session("E04", name, lines("AUTH PLAIN " + text), "500|501", clear="500|538", login=True)
    for fields in (0, 1, 3, 4, 5, 17, 255, 300):
        yield refused("E13", f"plain-{fields}", lines(b"AUTH PLAIN " + b64(b"\0".join([b"x"] * (fields + 1)) if fields != 2 else b"")), "501")
    for name in ("NTLM", "SPA", "GSSAPI", "EXTERNAL", "X" * 300):
        yield refused("E12", name[:8].lower(), lines(f"AUTH {name} {b64('NTLMSSP').decode()}"), "504")
    yield refused("A05", "513-octets", lines(b"AUTH PLAIN " + b64("\0alice@example.test\0" + "x" * 513)), "501|535")
    yield refused("A05", "8-kib", lines(b"AUTH PLAIN " + b64("\0alice@example.test\0" + "x" * 8192)), "500|501|535")
    yield Session("F02", "aborted", lines("AUTH LOGIN", "*", "AUTH PLAIN", "*", "RSET", "EHLO c") * 100,
                  times("334 501 334 501 250 250", 100), clear=times("538 500 538 500 250 250", 100), login=True)
    yield Session("F02", "another-one-inside", lines("AUTH LOGIN", "AUTH PLAIN", "NOOP"), "334 501 250", clear="538 538 250", login=True)
    yield Session("T06", "no-mail-without", lines(FROM, "NOOP"), "530 250", login=True)
    yield Session("T06", "half-a-login", lines("AUTH LOGIN", "*", FROM), "334 501 530", clear="538 500 530", login=True)
    yield Session("S13", "aborted", lines("AUTH PLAIN", "*", "NOOP"), "334 501 250", clear="538 500 250", login=True)
    yield Session("S13", "bad-base64", lines("AUTH PLAIN", "!!!!", "NOOP"), "334 501 250", clear="538 500 250", login=True)
    yield Session("S13", "half-utf-8", lines(b"AUTH PLAIN " + b64(b"\0alice\xc3\0x"), "NOOP"), "501|535 250", clear="538 250", login=True)
    yield Session("A07", "case", lines("AUTH pLaIn", "*", "auth Login", "*"), "334 501 334 501", clear="538 500 538 500", login=True)
    yield Session("A02", "login-asks-alike", lines("AUTH LOGIN " + b64("alice@example.test").decode(), "*", "AUTH LOGIN " + b64("nobody@example.test").decode(), "*"),
                  "334 501 334 501", clear="538 500 538 500", login=True)
    yield Session("A02", "vrfy", lines("VRFY alice@example.test", "VRFY nobody@example.test", "EXPN alice@example.test", "EXPN nobody@example.test"),
                  "252 252 502 502")
    for name, path in {"empty": b'<""@example.test>', "open": b'<"@example.test>', "quoted": b'<"alice"@example.test>', "escape": b'<"\\"@example.test>'}.items():
        yield Session("S13", f"quoted-{name}", lines(FROM, b"RCPT TO:" + path, b"RSET", b"MAIL FROM:" + path, b"RSET") + GOOD,
                      f"250 250|501|550|553 250 250|501|553 250 {FINE}")


def broken_off():
    """O04: the end in the middle of something."""
    for name, said in {"mail": lines(FROM), "recipient": MAIL, "data": MAIL_DATA, "body": MAIL_DATA + BODY, "half-a-line": MAIL_DATA + b"Subj",
                       "chunk": MAIL + b"BDAT 100\r\nx", "chunks": MAIL + chunk(BODY, False)}.items():
        yield Session("O04", f"end-{name}", said, {"mail": "250", "recipient": "250 250", "chunk": "250 250", "chunks": "250 250 250"}.get(name, "250 250 354") + " gone")
    yield Session("O04", "quit", MAIL + lines("QUIT"), "250 250 221 closed")
    yield Session("O04", "size-announced", lines(FROM + b" SIZE=1000000") + MESSAGE, f"552 {SENT}")
    yield Session("T07", "no-last-dot", MAIL_DATA + BODY + b".\r", "250 250 354 gone")


SESSIONS = [s for source in (values_of_parameters, misplaced_chunks, strange_arguments, histories, long_lines, many_recipients, look_alikes,
                             octets_of_lines, chunks, refusals, random_sessions, words_in_between, before_tls, other_protocols, logins, broken_off)
            for s in source()]
