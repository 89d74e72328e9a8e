"""Exim filter files by chance: of what Exim and Postern both know, so that the one can be held against the other."""

import random

WORDS = ["a", "b", "ab", "ABC", "abc", "Hello", "world", "12", "7", "1k", "-3", "a.b", "x y", "list", "", "b@c.example"]
FIELDS = ["subject", "from", "to", "x-a", "x-b", "x-n", "x-empty", "none", "reply-to", "X-A"]
VARIABLES = ["local_part", "domain", "sender_address", "sender_address_domain", "reply_address", "message_body", "n1", "n2", "local_part_suffix",
             "thisaddress", "return_path", "home", "1", "0", "2"]
MESSAGE = """From: "Alice, A." <alice@example.test>
To: bob@example.org, =?utf-8?q?J=C3=BCr?= <j@x.example>
Subject: Hello  World [list] 12
X-A: abc
X-B: a.b*c
X-N: 7
X-Empty:
Reply-To: rep@example.net

body line one
second line $x
"""
# What Exim's own makes otherwise: `personal` forgets $1, and gti and its like take a text that begins another for the greater.


class Chance:
    def __init__(self, seed):
        self.by = random.Random(seed)
        self.one = self.by.choice

    def many(self, most, make, between=""):
        return between.join(make() for _ in range(self.by.randint(1, most)))

    # ---- texts ----

    def part(self, deep=0):
        which = self.by.random()
        if which < .35 or deep > 2:
            return self.one(WORDS)
        if which < .55:
            return f"$h_{self.one(FIELDS)}:"
        if which < .72:
            return f"${{{self.one(VARIABLES)}}}"
        inner = self.part(deep + 1)
        if which < .80:
            name = self.one(["lc", "uc", "strlen", "local_part", "domain", "address", "quote", "length_2", "substr_1_2", "substr_-2_1",
                             "substr_1", "substr_-2", "l_1", "s_0_1"])
            return f"${{{name}:{inner}}}"
        if which < .84:
            return f"${{length{{{self.by.randint(0, 9)}}}{{{inner}}}}}"
        if which < .88:
            return f"${{substr{{{self.by.randint(-9, 9)}}}{{{self.by.randint(0, 5)}}}{{{inner}}}}}"
        return f"${{if {self.test(deep + 1)}{{{inner}}}{{{self.part(deep + 1)}}}}}"

    def test(self, deep):
        which = self.by.random()
        if deep < 3 and which < .15:
            return self.one(["and", "or"]) + "{" + self.many(3, lambda: f"{{{self.test(deep + 1)}}}") + "}"
        if which < .25:
            return "!" + self.test(deep + 1)
        if which < .50:
            return self.one([f"def:h_{self.one(FIELDS)}:", "def:local_part", "def:n1", "def:sender_address", "def:local_part_suffix"])
        if which < .60:
            return f"{self.one(['>', '<', '=', '==', '>=', '<='])}{{{self.by.randint(-3, 3)}}}{{{self.by.randint(-3, 3)}}}"
        left = self.part(deep + 1)
        if which < .70:
            return f"match{{{left}}}{{{self.one(['a(b?)', '^h', '(l+)', '[0-9]+'])}}}"
        return f"{self.one(['eq', 'eqi', 'lt', 'le', 'gt', 'ge'])}{{{left}}}{{{self.part(deep + 1)}}}"

    def text(self, between=""):
        return f'"{self.many(3, self.part, between)}"'

    # ---- conditions ----

    def condition(self, deep=0):
        which = self.by.random()
        if deep < 3 and which < .15:
            return f"({self.condition(deep + 1)})"
        if deep < 3 and which < .35:
            return f"{self.condition(deep + 1)} {self.one(['and', 'or'])} {self.condition(deep + 1)}"
        if which < .43:
            return "not " + self.condition(deep + 1)
        if which < .50:
            return self.one(["delivered", "error_message", "first_delivery"])
        if which < .58:
            numbers = ["7", "10", "-3", "1k", "1M", "$h_x-n:", "$n1", "$n2", "0"]
            return f"{self.one(numbers)} {self.one(['is above', 'is below', 'is not above', 'is not below'])} {self.one(numbers)}"
        if deep < 2 and which < .64:
            within = self.one([f"$thisaddress contains {self.one(['a', 'bob', 'zz'])}", self.condition(deep + 1)])
            return f"foranyaddress {self.one(['$h_to:', '$h_from:', self.one(FIELDS), chr(34) + '$h_to:,$h_from:' + chr(34)])} ({within})"
        if which < .78:
            pattern = self.one(["(a)(b)?", "^(h.)", "l+", "[[]l", "([0-9])", "(?i)WORLD", ". .", "\\\\N^.(.)$\\\\N"])
            return f'{self.text()} matches "{pattern}"'
        return f"{self.text()} " + self.one(["is", "IS", "is not", "IS not", "begins", "BEGINS", "does not begin", "ends", "ENDS", "contains",
                                             "CONTAINS", "does not contain", "does not CONTAIN"]) + f" {self.text()}"

    # ---- commands ----

    def command(self, deep):
        which = self.by.random()
        if which < .35:
            return f"testprint {self.text('x')[:-1]}.\""
        if which < .45:
            return f"add {self.one(['1', '-2', '3', '$n1'])} to n{self.by.randint(1, 2)}"
        if which < .55:
            return self.one(["", "unseen ", "seen "]) + "save " + self.one(["M/a", "$home/b", "Mail/.$h_x-a:/", "/x/y"])
        if which < .62:
            return self.one(["", "unseen "]) + "deliver " + self.one(["c@d.example", "dave", '"E <e@f.example>"'])
        if which < .65 and deep > 0:
            return self.one(["finish", "seen finish"])
        if deep > 2:
            return "add 1 to n1"
        words = f"if {self.condition()} then\n{self.commands(deep + 1)}\n"
        while self.by.random() < .3:
            words += f"elif {self.condition()} then\n{self.commands(deep + 1)}\n"
        if self.by.random() < .5:
            words += f"else\n{self.commands(deep + 1)}\n"
        return words + "endif"

    def commands(self, deep=0):
        return self.many(3, lambda: self.command(deep), "\n")


def make(seed):
    return f"# Exim filter\n{Chance(seed).commands()}\n"
