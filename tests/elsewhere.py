"""Another network, as the internet is to a mail host: a namespace behind a pair of interfaces, with a DNS server and next hops."""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading

from dnslib import QTYPE, RCODE, RR
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from harness import NextHop

CLONE_NEWNET = 0x40000000


def run(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True)


class Hop(NextHop):
    """A next host at an address and port of its own."""

    def __init__(self, server, **options):
        super().__init__(server=server, **options)


class Zone(BaseResolver):
    """Answers by a dict name -> records as text; what it has not does not exist; `codes` say otherwise."""

    def __init__(self):
        self.records, self.codes, self.asked = {}, {}, []

    def resolve(self, request, handler):
        question = request.q
        name, kind = str(question.qname).lower().rstrip("."), QTYPE[question.qtype]
        self.asked.append((name, kind))
        reply = request.reply()
        reply.header.ra = 1
        lines = self.records.get(name)
        reply.header.rcode = getattr(RCODE, self.codes.get(name, "NOERROR" if lines is not None else "NXDOMAIN"))
        for line in lines or []:
            if line.split()[0] == kind:
                reply.add_answer(*RR.fromZone(f"{name}. 60 IN {line}"))
        return reply


class Elsewhere:
    """`here` is our address on the way to it; `network` numbers the hosts there."""

    def __init__(self):
        self.name = f"postern-test-{os.getpid()}"
        self.closing = contextlib.ExitStack()
        self.zone = Zone()

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        self.closing.callback(run, "ip", "netns", "del", self.name, check=False)
        self.take_number()
        self.closing.callback(run, "ip", "link", "del", self.near, check=False)
        run("ip", "addr", "add", f"{self.here}/24", "dev", self.near)
        run("ip", "link", "set", self.near, "up")
        for words in (("link", "set", "lo", "up"), ("link", "set", self.far, "up")):
            run("ip", "-n", self.name, *words)
        for host in range(2, 12):
            run("ip", "-n", self.name, "addr", "add", f"{self.network}.{host}/24", "dev", self.far)
        servers = self.inside(lambda: [DNSServer(self.zone, address=self.address(2), port=53, tcp=tcp, logger=DNSLogger("-request,-reply"))
                                       for tcp in (False, True)])
        for server in servers:
            threading.Thread(target=server.server.serve_forever, args=(0.05,), daemon=True).start()
            self.closing.callback(server.server.server_close)
            self.closing.callback(server.server.shutdown)
        return self

    def take_number(self):
        """The first network that no other run has, by the name of its interface here."""
        for n in range(220):
            number = (os.getpid() + n) % 220 + 20
            self.network, self.near, self.far = f"198.18.{number}", f"pt{number}n", f"pt{number}f"
            words = ("ip", "link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name)
            if run(*words, check=n == 219).returncode == 0:
                self.here = f"{self.network}.1"
                return

    def __exit__(self, *_):
        self.closing.close()

    def address(self, host):
        return f"{self.network}.{host}"

    def inside(self, what):
        """Runs it in a thread that is in the other network; sockets stay there."""
        done = {}

        def thread():
            try:
                with open(f"/run/netns/{self.name}") as f:
                    libc = ctypes.CDLL(None, use_errno=True)
                    assert libc.setns(f.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
                done["value"] = what()
            except BaseException as e:  # told to whoever asked
                done["error"] = e
        t = threading.Thread(target=thread)
        t.start()
        t.join()
        if "error" in done:
            raise done["error"]
        return done["value"]

    def hop(self, host, port=25, **options):
        server = self.inside(lambda: socket.create_server((self.address(host), port), backlog=64))
        hop = Hop(server, **options)
        self.closing.callback(hop.close)
        return hop

    def unreachable(self, host):
        """Packets to it are answered by nobody."""
        run("ip", "-n", self.name, "addr", "del", f"{self.address(host)}/24", "dev", self.far)


def possible():
    """Whether this machine lets us make networks."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"postern-probe-{os.getpid()}"
    if run("ip", "netns", "add", name, check=False).returncode != 0:
        return False
    made = run("ip", "link", "add", "ptprobe", "type", "veth", "peer", "name", "ptprobf", "netns", name, check=False)
    run("ip", "link", "del", "ptprobe", check=False)
    run("ip", "netns", "del", name, check=False)
    return made.returncode == 0
