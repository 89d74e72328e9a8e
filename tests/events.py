"""The names of all events, read from the sources: what docs/operations.md must explain."""

import re

from harness import TOP

FOLDERS = ("common", "master", "smtpd", "queue-manager", "policyd", "delivery-agents", "authd", "lookup", "resolver")
CALL = re.compile(r"\bLOG(?:_PLAIN)?\(|\blog_write\(|\bLEVEL_(?:DEBUG|INFO|WARN|ERROR),\s*\"|\bqueue_trouble\(\"|\bevents\[\] = ")
NAME = re.compile(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"')


def sources():
    for folder in FOLDERS:
        for path in (TOP / folder).rglob("*.c"):
            if not path.name.startswith(("test_", "fuzz_", "stub_")) and "harness" not in path.parts and "_fake" not in path.name:
                yield path


def names():
    """Literals between the call, or a level in a table, and the first of its fields."""
    found = {}
    for path in sources():
        text = path.read_text()
        for call in CALL.finditer(text):
            rest = re.split(r"\bKV_|;|\}", text[call.start():call.start() + 400], maxsplit=1)[0]
            for name in NAME.findall(rest):
                found.setdefault(name, set()).add(str(path.relative_to(TOP)))
    return found


if __name__ == "__main__":
    for event, where in sorted(names().items()):
        print(event, *sorted(where))
