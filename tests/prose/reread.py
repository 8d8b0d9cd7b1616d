"""`make reread BASE=main`: the sentences that a branch left as they were, though what they rest on has changed.

From the git difference alone: an unchanged sentence is listed if a block or an output of its section has changed, or if
it names a value that the change took away. If that value is in no block of the project any more, it is untrue, and the
command fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

from handbook.rendering import Renderer
from prose import figures, literals
from prose.sections import BESIDE, LITERAL, ROOT, Section, everything, handbook, plain, sections

UNTRUE = 1


def git(*arguments: str) -> str:
    found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"git {arguments[0]}: {found.stderr.strip()}")
    return found.stdout


def values(text: str) -> set[str]:
    """The words and numbers of code that a sentence could name."""
    return set(re.findall(r"[A-Za-z_][\w.-]*\w|\d+(?:\.\d+)*", text))


def removed(start: str) -> set[str]:
    """The values that the backend's code had, and has no more."""
    difference = git("diff", "--unified=0", "--no-color", "--no-ext-diff", start, "--", "backend/src")
    lines = "\n".join(re.findall(r"(?m)^-(?!-)(.*)$", difference))
    return values(lines) - values(literals.code()[0])


def named(sentence: str) -> set[str]:
    """The values that a sentence names: what is in backticks, and its figures."""
    literal = {plain(found[2]) for found in LITERAL.finditer(sentence)}
    text = LITERAL.sub("", figures.NO_FIGURE.sub("", sentence))
    return {*literal, *(figures.plainly(found[0]) for found in figures.FIGURE.finditer(text))}


def reread(base: str) -> Iterator[tuple[str, bool]]:
    """What to read again, each with whether it is plainly untrue."""
    start = git("merge-base", base, "HEAD").strip()
    code = removed(start)
    touched = set(git("diff", "--name-only", start, "--", "docs", *BESIDE).split("\n"))
    renderer = Renderer(ROOT / "mkdocs.yml")
    for page, now in handbook().items():
        before: dict[str, Section] = {}
        if page in touched and git("ls-tree", start, "--", page):
            before = {one.anchor: one for one in sections(page, git("show", f"{start}:{page}"), renderer)}
        lost = code | (values(before[""].scope) - values(now[0].scope) if before else set())
        for section in now:
            old = before.get(section.anchor)
            said = {sentence for _, sentence in old.sentences} if old else set()
            for line, sentence in section.sentences:
                if page in touched and sentence not in said:
                    continue
                # A value that some block still shows may be true where it is said.
                took = sorted(named(sentence) & lost)
                known = {one for one in took if literals.is_shown(one, everything()) or literals.is_of_postgresql(one)}
                gone = [one for one in took if one not in known]
                if took:
                    why = f"{', '.join(gone)} in no block any more" if gone else f"{', '.join(took)} taken away"
                    yield f"{page}:{line}: {why}: {sentence}", bool(gone)
                elif old and old.shown != section.shown and re.search(r"\w", sentence):
                    yield f"{page}:{line}: its blocks have changed: {sentence}", False


def main() -> int:
    found = list(reread(sys.argv[1]))
    sys.stdout.write("".join(f"{text}\n" for text, _ in found) or "No sentence to read again.\n")
    return UNTRUE if any(untrue for _, untrue in found) else 0


if __name__ == "__main__":
    sys.exit(main())
