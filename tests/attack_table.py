#!/usr/bin/python3
"""attacks.table: reads it, and says which of its attacks no test has printed.  attack_table.py BUILD-FOLDER PRESET..."""

import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).resolve().parent
WAYS = [f"{tls}-{piece}" for tls in ("clear", "tls") for piece in ("whole", "bytes")]


def read(path=TESTS / "attacks.table"):
    """id -> (whether on the wire in all ways, what, files)"""
    table = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            ident, wire, what, files = re.fullmatch(r"(\w+) +(wire|-) +(.*?)  +(.*)", line).groups()
            assert ident not in table, f"{ident} stands twice"
            table[ident] = (wire == "wire", what, files.split())
    return table


def printed(folder):
    """id -> variants, of what passed; and the lines of what did not.  A test that failed beside others and then passed has passed."""
    passed, failed = {}, set()
    for log in [folder / "unit.log", *folder.glob("pytest-*.log")]:
        if log.exists():
            for ident, variant, how in re.findall(r"ROW (\w+) (.*) (pass|fail)$", log.read_text(errors="replace"), re.M):
                if how == "pass":
                    passed.setdefault(ident, set()).add(variant)
                else:
                    failed.add((ident, variant))
    return passed, {f"{i} {v}" for i, v in failed if v not in passed.get(i, ())}


def missing(table, passed, only_wire=False):
    """What the table promises and nobody printed: `id` or `id way`."""
    for ident, (wire, _, _) in table.items():
        variants = passed.get(ident, ())
        if not variants and not only_wire:
            yield ident
        elif wire:
            yield from (f"{ident} {way}" for way in WAYS if not any(v.endswith(way) for v in variants))


def main(builds, *presets):
    table, bad = read(), 0
    for preset in presets:
        passed, failed = printed(pathlib.Path(builds) / preset)
        for line in [*(f"nobody tried {m}" for m in missing(table, passed, only_wire=preset != "dev")), *(f"failed: {f}" for f in sorted(failed))]:
            print(f"attacks.table ({preset}): {line}")
            bad += 1
    print(f"attacks.table: {len(table)} attacks, {bad} without a test that passed")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
