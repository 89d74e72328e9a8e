"""Sieve scripts and messages by chance, of what a real Pigeonhole and we understand alike.

Not in them: a `?` before a `*` (it finds matches that are none), characters in :regex (to it they are octets), an empty text as a number (to it not equal to other texts
that are none), :copy of a folder that is also filed into without (to it the first holds).
"""

import random

REQUIRE = ('require ["fileinto", "copy", "variables", "relational", "comparator-i;ascii-numeric", "regex", "envelope", "subaddress", "date", '
           '"imap4flags"];\n')
FIELDS = ("Subject", "X-Tag", "To", "From", "Cc", "X-Num", "Date", "List-Id", "Nope")
WORDS = ("a", "b", "ab", "abc", "A", "aB", "x y", "", "*", "?", "a*", "*b*", "**", "\\\\*", "é", "été", "10", "9", "007", "[x]", "a.b", "foo", "Foo bar",
         "*o*o*", "*a*b*c*")
PATTERNS = ("a", "^a", "b$", "(a)(b)?", "[a-c]+", "x|y", "^$", ".*b", "A", "\\\\[(.*)\\\\]")
TEXTS = ("abc", "aXbXc", "foo bar", "10", "9 lives", "007", "[x] hello", "=?utf-8?q?=C3=A9t=C3=A9?=", "=?iso-8859-1?b?6XTp?= =?utf-8?q?_x?=", "", "a\n b",
         "a\n\tb c", "*", "a.b", "Foo Bar", "aabbcc")
LISTS = ("a@b.example", "Ann <ann+tag@list.example>", '"q \\"x\\"" <q@x.example>', "grp: a@x.example, b+c@y.example;", "(c) z@z.example (Zed)", "nobody",
         "<@r.example:s@t.example>", '"a b"@x.example', "u@[192.0.2.1]", "A@B.Example", "undisclosed:;", "x@y.example,, w@v.example",
         "=?utf-8?q?J=C3=B6rg?= <j@x.example>", "bob+news@example.org")
ADDRESSES = ("a@b.example", "ann", "tag", "x.example", "*@x.example", "j@x.example", "u", "*", "list.example", "b", "c", "s@t.example", "a b")
DATES = ("Wed, 31 Dec 2025 18:30:07 -0500", "1 Jan 26 00:00 GMT", "31 Feb 2025 00:00 +0000", "Thu, 01 Jan 2026 00:30:07 +0100")
PARTS = ("", ":all", ":localpart", ":domain", ":user", ":detail")
RELATIONS = ("gt", "ge", "lt", "le", "eq", "ne")


class Chance:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def list(self, words, most=3):
        chosen = ['"' + self.r.choice(words) + '"' for _ in range(self.r.randint(1, most))]
        return chosen[0] if len(chosen) == 1 else "[" + ", ".join(chosen) + "]"

    def message(self):
        lines = []
        for _ in range(self.r.randint(1, 7)):
            name = self.r.choice(FIELDS[:-1])
            value = self.r.choice(DATES if name == "Date" else TEXTS)
            if name in ("To", "From", "Cc"):
                value = ", ".join(self.r.sample(LISTS, self.r.randint(1, 3)))
            lines.append(f"{self.r.choice((name, name.lower(), name.upper()))}: {value}")
        return "\n".join(lines) + "\n\n" + self.r.choice(("hello abc\n", "foo bar\n\nAbC\n", ""))

    def comparing(self, words, count_of=4):
        """The tags, and the keys that go with them."""
        how = self.r.choice(("", ":is", ":contains", ":matches", ":matches", ":value", ":count", ":regex"))
        comparator = self.r.choice(("", "", ' :comparator "i;octet"'))
        if how in (":value", ":count"):
            how += f' "{self.r.choice(RELATIONS)}"'
        if how.startswith(":count"):
            return how + ' :comparator "i;ascii-numeric"', self.list([str(n) for n in range(count_of + 1)])
        return how + comparator, self.list(PATTERNS if how == ":regex" else words)

    def test(self, depth=0):
        kind = self.r.randrange(8 if depth < 2 else 6)
        if kind == 6:
            return "not " + self.test(depth + 1)
        if kind == 7:
            return f'{self.r.choice(("allof", "anyof"))} ({", ".join(self.test(depth + 1) for _ in range(self.r.randint(1, 3)))})'
        how, keys = self.comparing({2: ADDRESSES + WORDS, 3: ("news", "bob", "alice", "example.*", "*", "bob+news@example.org")}.get(kind, WORDS))
        if kind == 5 and ":comparator" not in how:
            how += ' :comparator "i;ascii-casemap"'  # else it takes i;octet, for `string` alone
        return (f"header {how} {self.list(FIELDS)} {keys}", f"exists {self.list(FIELDS)}",
                f"address {self.r.choice(PARTS)} {how} {self.list(('To', 'From', 'Cc'))} {keys}",
                f"envelope {self.r.choice(PARTS)} {how} {self.list(('to', 'from'), 1)} {keys}",
                f"date {self.r.choice(('', ':originalzone'))} {how} \"date\" {self.list(('year', 'date', 'hour', 'minute', 'iso8601', 'std11', 'zone', 'weekday'), 1)} "
                f"{keys}",
                f"string {how} {self.list(('${1}', '${2}', '${0}', '${v}', '${w}x'))} {keys}")[kind]

    def command(self, depth=0):
        kind = self.r.randrange(10 if depth < 2 else 5)
        if kind > 4:
            text = f"if {self.test()} {{ {self.command(depth + 1)} {self.command(depth + 1)} }}"
            if self.r.random() < 0.3:
                text += f" elsif {self.test()} {{ {self.command(depth + 1)} }}"
            return text + (f" else {{ {self.command(depth + 1)} }}" if self.r.random() < 0.5 else "")
        return (f'set {self.r.choice(("", ":lower", ":upper", ":lowerfirst", ":upperfirst", ":upperfirst :lower", ":length", ":quotewildcard"))} '
                f'{self.list(("v", "w"), 1)} {self.list(("${1}", "${v}${w}", "AbC", "é${0}", "${2}*"), 1)};',
                f'redirect :copy "r{self.r.randrange(4)}@x.example";',
                self.r.choice(("keep;", "discard;", "stop;", 'addflag "\\\\Seen x";', 'removeflag "x";', 'setflag ["a", "b"];')),
                *[f'fileinto {self.list(("F1", "F2", "F-${1}-${2}", "F${v}", "L/${3}"), 1)};'] * 2)[kind]

    def script(self):
        return REQUIRE + "\n".join(self.command() for _ in range(self.r.randint(1, 6))) + "\n"
