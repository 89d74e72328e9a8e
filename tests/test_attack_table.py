"""attacks.table: each attack has tests where it says so; and the check behind scripts/test finds what is missing."""

import re

import pytest

import attack_table
from attack_sessions import MAX_BYTEWISE, SESSIONS
from harness import TOP

TABLE = attack_table.read()


def printers():
    """(id, file) of every ROW line that a source prints."""
    found = set()
    for path in [*TOP.glob("*/test_*.c"), *TOP.glob("common/*/test_*.c"), *TOP.glob("tests/test_*.py"), TOP / "tests/attack_sessions.py"]:
        if path.name != "test_attack_table.py":
            for several in re.findall(r'ROW ([A-Z]\d\d) |"((?:[A-Z]\d\d)(?: [A-Z]\d\d)*)"', path.read_text()):
                found |= {(ident, str(path.relative_to(TOP))) for ident in " ".join(several).split()}
    return found


def test_the_table_is_as_the_sources_are():
    told = {(ident, file) for ident, (_, _, files) in TABLE.items() for file in files}
    assert told - printers() == set(), "the table names tests that do not print it"


def test_on_the_wire_in_every_way():
    """Those that the table calls so, and they only, have sessions; each at least one that is short enough for byte by byte."""
    assert {i for s in SESSIONS for i in s.rows.split()} == {i for i, (wire, _, _) in TABLE.items() if wire}
    assert {i for s in SESSIONS if len(s.said) <= MAX_BYTEWISE for i in s.rows.split()} == {i for i, (wire, _, _) in TABLE.items() if wire}
    assert len({(i, s.variant) for s in SESSIONS for i in s.rows.split()}) == sum(len(s.rows.split()) for s in SESSIONS), "two of one name"


@pytest.mark.parametrize("what, line, found", [
    ("nothing", "", []), ("absent", "ROW X02 a pass\n", ["X01 clear-whole", "X01 clear-bytes", "X01 tls-whole", "X01 tls-bytes"]),
    ("failed", "ROW X02 a fail\n", ["X02"])])
def test_what_nobody_printed_is_found(tmp_path, what, line, found):
    (tmp_path / "table").write_text("# no line\nX01  wire  one thing  tests/a.py\nX02  -  two  tests/a.py tests/b.py\n")
    table = attack_table.read(tmp_path / "table")
    good = "".join(f"ROW X01 thing-{way} pass\n" for way in attack_table.WAYS)
    (tmp_path / "pytest-alone.log").write_text({"nothing": good + "ROW X02 a pass\n", "absent": "ROW X01 other pass\n" + line, "failed": good + line}[what])
    passed, failed = attack_table.printed(tmp_path)
    assert list(attack_table.missing(table, passed)) == found and failed == ({"X02 a"} if what == "failed" else set())
