"""The pages say what is so: each event of the sources is explained, each file that is named is there."""

import re

import pytest

from events import names
from harness import TOP

PAGES = sorted(p for p in [*TOP.glob("*.md"), *TOP.glob("*/*.md"), *TOP.glob("common/*/*.md")] if "build" not in p.parts)


def test_every_event_is_explained_and_no_other():
    table = (TOP / "docs" / "operations.md").read_text().split("<!-- events:")[1].split("<!-- end -->")[0]
    explained = {name for line in table.splitlines() if line.startswith("| `") for name in
                 re.findall(r"`([a-z0-9-]+)`", line.split("|")[1])}
    said = set(names())
    assert not said - explained, f"docs/operations.md does not explain {sorted(said - explained)}"
    assert not explained - said, f"no source says {sorted(explained - said)}"


@pytest.mark.parametrize("page", ["docs/security.md", "docs/operations.md", "docs/crash.md", "tests/README.md"])
def test_named_files_are_there(page):
    for path in set(re.findall(r"(?<![/\w])((?:tests|common|master|smtpd|queue-manager|policyd|delivery-agents|authd|resolver|cli|etc|scripts|docs)"
                               r"/[\w./-]*\w)", (TOP / page).read_text())):
        assert (TOP / path).exists() or list(TOP.glob(path + "*")), f"{page} names {path}"


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(TOP)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        to = page.parent / path if path else page
        assert to.exists(), f"{page} leads to {target}"
        assert not anchor or to.is_dir() or anchor in anchors(to), f"{page} leads to {target}"
