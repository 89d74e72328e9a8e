"""What the source may not say, and what the programs may not call: the gates a reviewer would otherwise have to keep."""

import itertools
import re
import stat
import subprocess

import pytest

from harness import BIN, BUILD, TOP, row

FOLDERS = ("authd", "cli", "common", "delivery-agents", "lookup", "master", "policyd", "queue-manager", "resolver", "smtpd")
FACING = ("gate", "smtpd", "relay", "resolver", "dial", "lookup")  # they hear strangers, or connect to them
CAGED = (*FACING, "keyd", "queue", "policyd")


def sources(*folders, tests=False):
    for folder in folders or FOLDERS:
        for path in sorted((TOP / folder).rglob("*.[ch]")):
            if tests or not path.name.startswith(("test", "fuzz_")):
                yield path


def without_comments_and_strings(text):
    """The same lines, with only what the compiler would call."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def calls(pattern, *folders, tests=False):
    found = re.compile(rf"(?<![\w.>])(?:{pattern})\s*\(")
    for path in sources(*folders, tests=tests):
        for number, line in enumerate(without_comments_and_strings(path.read_text()).splitlines(), 1):
            if found.search(line):
                yield f"{path.relative_to(TOP)}:{number}: {path.read_text().splitlines()[number - 1].strip()}"


# ---- the source ----

def test_the_gates_see():
    """A gate that finds nothing anywhere is none."""
    assert any("memcpy" in hit for hit in calls("memcpy"))
    assert without_comments_and_strings('x("system(1)"); /* popen( */ y();').split() == ["x(", ");", "y();"]


@pytest.mark.parametrize("name", ["system", "popen", "wordexp", "v?sprintf", "strcpy", "stpcpy", "strcat", "strncpy", "strncat", "strtok",
                                  "strtok_r", "gets", "alloca", "longjmp", "siglongjmp", "setjmp", "sigsetjmp", "tmpnam", "mktemp",
                                  "execlp", "execvp", "execvpe", "rand", "srand", "atoi", "atol", "scanf", "[fs]scanf"])
def test_calls_nobody_makes(name):
    assert list(calls(name)) == []


def test_memory_that_only_an_attacker_sizes():
    """No arrays of a length from outside, on the stack or by malloc(a * b)."""
    flags = (TOP / "cmake" / "postern.cmake").read_text()
    assert "-Wvla" in flags and "-Wno-vla" not in flags
    for path in itertools.chain(sources(tests=True), TOP.glob("*/CMakeLists.txt"), TOP.glob("common/*/CMakeLists.txt")):
        assert "Wno-vla" not in path.read_text(), path
    assert [hit for hit in calls("malloc|realloc") if re.search(r"(malloc|realloc)\([^()]*[\w)] \* [\w(]", hit)] == []


# Those that make it so themselves: spool_ops.c adds it to every openat of the spool; the program that exec follows inherits by dup2.
MAKES_IT_ITSELF = {"queue-manager": re.compile(r"sp->ops->openat"), "master": re.compile(r"\bdup2\("), "common/harness": re.compile(r"\bdup2\("),
                   "cli/run_queue_check.c": re.compile(r"\bdup2\("), "cli/run_route.c": re.compile(r"\bdup2\("),
                   "delivery-agents/program.c": re.compile(r"\bdup2\("),
                   "common/conf": re.compile(r"\bopendir\("),
                   # libpq's calls end in it; what it gives was received, not made
                   "lookup/backend_postgresql.c": re.compile(r"^int socket\(")}
MAKERS = (r"open|openat|openat2|creat|socket|socketpair|accept|accept4|dup|dup2|dup3|pipe|pipe2|memfd_create|epoll_create1?|eventfd|"
          r"timerfd_create|signalfd|inotify_init1?|fopen|fdopen|opendir|mkostemp|mkstemp|open_tree|pidfd_open")


def test_every_descriptor_is_closed_at_exec():
    """On the line that makes it, so that nobody has to look for another."""
    wrong = []
    for hit in calls(MAKERS):
        file, line = hit.split(": ", 1)
        excused = any(file.startswith(folder) and allowed.search(line) for folder, allowed in MAKES_IT_ITSELF.items())
        wrong += [] if excused or "CLOEXEC" in line or re.search(r'"[ra]e"', line) else [hit]
    assert wrong == []
    assert "O_CLOEXEC | O_NOFOLLOW" in (TOP / "queue-manager" / "spool_ops.c").read_text()


def test_descriptors_that_arrive_are_closed_at_exec():
    assert [hit for hit in calls("recvmsg") if "MSG_CMSG_CLOEXEC" not in hit] == []
    assert [hit for hit in calls("recvmmsg")] == []


def test_signals_do_no_work():
    """Signals come as events, or are ignored: there is no handler of ours."""
    row("F23", "no-handlers", [hit for hit in calls("signal") if not re.search(r"SIG_(IGN|DFL)", hit)] + list(calls("sigaction")) == [])


def test_secrets_are_compared_in_constant_time():
    """Nothing that is a secret, a hash or a proof meets a comparison that ends early."""
    secret = re.compile(r"secret|password|hash|proof|digest|hmac|verifier|stored_key|server_key|canary", re.I)
    compared = re.compile(r"(?:cmp|slice_eq(?:_nocase)?)\(((?:[^()]|\([^()]*\))*)")
    early = [hit for hit in calls(r"strn?cmp|memcmp|bcmp|slice_eq|slice_eq_nocase", "authd", "common/users", "common/sasl")
             if any(secret.search(arguments) for arguments in compared.findall(hit.split(": ", 1)[1]))]
    row("A03", "no-early-end", early == [])
    assert any("CRYPTO_memcmp" in hit for hit in calls("CRYPTO_memcmp", "authd", "common"))


def test_only_root_or_the_user_it_becomes():
    """Who changes users, in two places that are read line by line."""
    users = {hit.split(":")[0] for hit in calls(r"setre[ug]id|setres[ug]id|setuid|setgid|setgroups|initgroups|chroot|seteuid")}
    assert users <= {"common/os/cage.c", "common/os/privilege.c"}


def test_what_runs_with_a_capability_is_counted():
    """docs/security.md says how many lines; it may be rounded, and not more."""
    counted = subprocess.run([TOP / "scripts" / "count-privileged"], capture_output=True, text=True, check=True).stdout
    told = (TOP / "docs" / "security.md").read_text()
    says = {"master": r"own code is ([\d,]+) lines", "local": r"postern-local, ([\d,]+) lines", "common": r"service: ([\d,]+) lines"}
    for name, lines in (line.split() for line in counted.splitlines()):
        number = int(re.search(says[name], told)[1].replace(",", ""))
        assert abs(number - int(lines)) <= 0.05 * int(lines), f"{name}: docs/security.md says {number}, it is {lines}"


def test_each_fuzz_target_is_whole():
    """It is built, has a corpus to begin with, and stands in the README of the tests; and nothing stands there that is not."""
    targets = {path.stem: path for path in sources(tests=True) if path.name.startswith("fuzz_")}
    lists = [*TOP.glob("*/CMakeLists.txt"), *TOP.glob("common/*/CMakeLists.txt"), *TOP.glob("*/*.cmake")]
    built = set(re.findall(r"postern_fuzz\((fuzz_\w+)", "".join(path.read_text() for path in lists)))
    assert built == set(targets)
    assert [name for name, path in targets.items() if not any((path.parent / "corpus" / name).glob("*"))] == []
    assert set(re.findall(r"`(fuzz_\w+)`", (TOP / "tests" / "README.md").read_text())) == set(targets)


# ---- the programs ----

def defined(program):
    """The files of ours that are linked into it."""
    text = subprocess.run(["nm", "--defined-only", str(BIN / program)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in text.splitlines()}


def test_no_compiler_where_there_are_capabilities():
    compiler = {"conf_compile", "parser_next", "rules_resolve"}
    if not defined("postern-gate") & compiler:
        pytest.skip("programs without symbols")
    row("CAGE", "local-has-no-compiler", not defined("postern-local") & compiler)
    assert not defined("postern-local") & compiler
    assert forbidden("postern-local", r"f?getpw\w+|getgr\w+|fopen\w*|\w*scanf|yy\w+") == []


def symbols(program):
    """What it takes from libraries, without versions."""
    text = subprocess.run(["nm", "--undefined-only", str(BIN / program)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in text.splitlines()}


def forbidden(program, pattern):
    return sorted(s for s in symbols(program) if re.fullmatch(pattern, s))


def test_the_programs_are_there():
    assert "main" in subprocess.run(["nm", str(BIN / "postern-smtpd")], capture_output=True, text=True, check=True).stdout
    assert "memcpy" in symbols("postern-smtpd") or "memmove" in symbols("postern-smtpd")


@pytest.mark.parametrize("role", FACING)
def test_no_names_or_logs_of_the_system(role):
    """Modules of the name service and syslog open files and sockets of their own, in the middle of the network's data."""
    assert forbidden(f"postern-{role}", r"getaddrinfo\w*|getnameinfo|gethostby\w+|getserv\w+|getpw\w+|getgr\w+|fgetpw\w+|(v|open|close)?syslog|"
                                        r"sd_\w+|res_\w+|dlopen|dlsym|iconv\w*|setlocale") == []


@pytest.mark.parametrize("program", sorted(p.name for p in BIN.glob("*")) if BIN.is_dir() else [])
def test_no_part_of_libevent_that_parses(program):
    assert forbidden(program, r"evhttp_\w+|evdns_\w+|evtag_\w+|evrpc_\w+|evbuffer_add_buffer_reference|evbuffer_add_file\w*|bufferevent_openssl_\w+|"
                              r"bufferevent_ssl_\w+|ENGINE_\w+|RSA_meth_\w+|pcre2_jit_\w+") == []


@pytest.mark.parametrize("role", CAGED)
def test_no_other_program(role):
    assert forbidden(f"postern-{role}", r"exec\w+|fexecve|posix_spawn\w*|vfork|system|popen|ptrace|process_vm_\w+") == []


@pytest.mark.parametrize("role", ["gate", "smtpd", "relay", "keyd", "queue", "policyd", "local", "authd"])
def test_no_connection_of_its_own(role):
    assert forbidden(f"postern-{role}", r"connect|bind|listen") == []


# ---- the installed files ----

def test_nothing_runs_as_somebody_else(tmp_path):
    subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(tmp_path)], check=True, capture_output=True)
    installed = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()]
    assert any(p.name == "sendmail" for p in installed)
    assert [p for p in installed if p.stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH)] == []
