"""What prose refers to: targets of the Makefile, codes of errors, and headings of other pages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from prose.code import TARGETS
from prose.sections import LINK, ROOT, Finding, Section, handbook, plain

TARGET = re.compile(r"(?m)(?:[`'&]|^ *(?:- run:|\$) )make (?:--?[a-z-]+ )*(?P<target>[a-z][a-z-]*)(?=[ `;&']|$)")
CODE = re.compile(r"PM\d\d")
WORKFLOWS = (".github/workflows", ".ci")


def unknown_targets(page: str, line: int, text: str) -> Iterator[Finding]:
    """The targets of make that a text names, and the Makefile does not have."""
    for found in TARGET.finditer(text):
        if found["target"] not in TARGETS:
            problem = f"make {found['target']}: the Makefile has no such target; `make help` lists them"
            yield Finding(page, line + text.count("\n", 0, found.start()), problem)


@cache
def titles() -> Mapping[str, str]:
    """The pages by their titles, and by the names that the navigation has for them."""
    found = {section.title: page for page, sections in handbook().items() for section in sections if section.level == 1}
    named = re.findall(r"(?m)^ +- ([^:\n]+): ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    found |= {name: f"docs/{page}" for name, page in named}
    return found | {name[0].lower() + name[1:]: page for name, page in found.items()}


def check(section: Section) -> Iterator[Finding]:
    """A target is the Makefile's, and a link named after an error, a page or a heading leads there."""
    yield from unknown_targets(section.page, section.line, section.prose)
    for link in LINK.finditer(section.prose):
        text = re.sub(r"[`*\[\]]", "", plain(link["text"]))
        page = os.path.normpath(Path(section.page).parent / link["page"]) if link["page"] else section.page
        headings = {one.title: one.anchor for one in handbook().get(page, ()) if one.level > 1}
        meant = titles().get(text, page) if link["page"] else page, headings.get(text, link["anchor"])
        if CODE.fullmatch(text):
            meant = "docs/errors.md", text.lower()
        if (page, link["anchor"]) != meant and not (meant[0] == page and text in titles()):
            problem = (
                f"the link [{text}] leads to {page}#{link['anchor'] or ''}, and not to {meant[0]}#{meant[1] or ''}"
            )
            yield Finding(section.page, section.line_of(link.start()), problem)


def check_workflows() -> Iterator[Finding]:
    """What the workflows run is in the Makefile."""
    for file in sorted(file for directory in WORKFLOWS for file in (ROOT / directory).iterdir() if file.is_file()):
        text = re.sub(
            r"(?<=targets=')[^']*", lambda found: f"make {'`make '.join(found[0].split())}", file.read_text("utf-8")
        )
        yield from unknown_targets(str(file.relative_to(ROOT)), 1, text)
