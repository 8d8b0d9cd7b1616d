"""Lies about commands: another word, a missing option, a missing command."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lies import sql
from lies.lie import Edit, altered

WORD = re.compile(r"""(?:[^\s'"\\|&;<>()]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
OPTION = re.compile(r"(--?[A-Za-z][\w-]*)=(?=.)", re.DOTALL)
VARIABLE = re.compile(r"([A-Za-z_]\w*)=")
# What bash reads for itself; to misspell it is no lie.
RESERVED = re.findall(r"\S+", "if then elif else fi for while until do done case esac in function time { } ! [[ ]]")
# Without these a command does what the page takes care not to do.
SAFE = {"--dry-run", "--check"}
PAUSES = {"sleep", "timeout"}
# What ends with the page anyway.
TIDIES = {"dropdb"}
EXPANSION = re.compile(r"\$\{?[\w?#@*!$-]+\}?|\$\(|\d*[<>]&?\d*")


def edits(text: str) -> Iterator[Edit]:
    """Every lie about a text of bash."""
    previous = ""
    for match in WORD.finditer(text):
        word, start = match[0], match.start()
        if re.search(r"(^|\s)#", text[text.rfind("\n", 0, start) + 1 : start + 1]):
            continue  # a comment
        if word in RESERVED or previous in PAUSES or (word.isdigit() and text[match.end() : match.end() + 1] in "<>&"):
            previous = word
            continue
        previous = word
        yield from _words(word, start)
        if re.match(r"--?[A-Za-z]", word) and word not in SAFE:
            yield Edit("option", start - (text[start - 1 : start] == " "), match.end(), "")


def _words(word: str, offset: int) -> Iterator[Edit]:
    if (assigned := VARIABLE.match(word)) and not word.startswith("-"):
        yield Edit("variable", offset, offset + len(assigned[1]), altered(assigned[1]))
        yield from _words(word[assigned.end() :], offset + assigned.end()) if word[assigned.end() :] else ()
        return
    if option := OPTION.match(word):
        yield Edit("option", offset, offset + len(option[1]), altered(option[1]))
        yield from _words(word[option.end() :], offset + option.end())
        return
    if word[0] in "'\"" and word[-1] == word[0] and len(word) > 2:
        inside = word[1:-1]
        if sql.looks_like_sql(inside) or inside.startswith("\\"):
            yield from (edit.moved(offset + 1) for edit in sql.edits(inside))
        else:
            for match in re.finditer(r"\S+", inside):
                yield from (edit.moved(offset + 1 + match.start()) for edit in _plain(match[0]))
        return
    yield from (edit.moved(offset) for edit in _plain(word))


def _plain(word: str) -> Iterator[Edit]:
    """A word altered outside what bash puts in for variables."""
    hidden = EXPANSION.sub(lambda match: " " * len(match[0]), word)
    pieces = [match for match in re.finditer(r"[^\s\"'\\]+", hidden) if re.search(r"\w", match[0])]
    # What is written there is nowhere: the name says no more than that.
    if pieces and not word.endswith("/dev/null"):
        piece = pieces[-1]
        other = altered(piece[0])
        if other != piece[0]:
            yield Edit("word", piece.start(), piece.end(), other)
