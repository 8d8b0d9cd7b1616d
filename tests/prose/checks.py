"""What is asked of a page beside its blocks: of each section, and of the page as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prose import figures, literals, pictures, references, statements, tables
from prose.sections import Finding, Section

OF_A_SECTION: dict[str, Callable[[Section], Iterator[Finding]]] = {
    "literals": literals.check,
    "figures": figures.check,
    "releases": figures.check_releases,
    "references": references.check,
    "locks": statements.check_locks,
    "turned": statements.check_turned,
}


def findings(page: Sequence[Section], altered: Sequence[Section] | None = None) -> Iterator[Finding]:
    """Yield what is not so on a page.

    Arguments:
        page: its sections.
        altered: those of them to ask by themselves, where the others are known to be right.
    """
    for section in page if altered is None else altered:
        for check in OF_A_SECTION.values():
            yield from check(section)
    yield from tables.check(page)
    yield from pictures.check(page)
    yield from statements.check(page)
