"""The blocks of the page that is being rendered, each with what the proof holds of it."""

from __future__ import annotations

from collections import defaultdict

from website.digest import block_key
from website.pages import Page, refusal
from website.proof import REMEDY, Entry, Proof

BECAME = {"failed": "failed when it ran", "not reached": "was not reached, because one above it failed"}


class Blocks:
    """Gives out the entries of a page's blocks, in their order.

    Arguments:
        page: the page.
        proof: what is proven.
        live: whether the page asks for its marks while it is open.
    """

    def __init__(self, page: Page, proof: Proof, *, live: bool = False) -> None:
        self.page = page
        self.proof = proof
        self.live = live
        self.staleness = proof.staleness(page.name, page.file) if page.name else ""
        self._left: dict[str, list[Entry]] = defaultdict(list)
        self._unproven: list[str] = []
        for entry in proof.entries(page.name):
            self._left[entry["key"]].append(entry)

    def take(self, language: str, text: str) -> Entry | None:
        """Return what became of the next block with this text on the page; nothing if there is no proof of it."""
        entries = self._left[block_key(language, text)]
        if not entries:
            self._unproven.append(text)
            return None
        # If more blocks of one text are rendered than ran, the last record is all there is.
        return entries.pop(0) if len(entries) > 1 else entries[0]

    def refusals(self) -> str:
        """Return comments that keep the page from being published; nothing for a page that is proven."""
        if not self.page.name and self._unproven:
            return refusal(f"{self._nowhere()}\n\n{self._unproven[0]}")
        where = f"docs/{self.page.name}"
        # One block stands for all that have no proof: on a page that has never run, that is each of them.
        messages = [
            f"{where}:{self._line_of(text)}: no proof for this block; {REMEDY}\n\n{text}" for text in self._unproven[:1]
        ]
        messages += [
            f"{where}:{entry['line']}: this block {BECAME[entry['status']]}; {REMEDY}"
            for entry in self.proof.entries(self.page.name)
            if entry["status"] in BECAME
        ]
        if self.staleness and not messages:
            messages = [f"{where}: {self.staleness}; {REMEDY}"]
        return "".join(map(refusal, messages))

    def _nowhere(self) -> str:
        """Say why a block that is shown can have no proof."""
        if not self.page.names:
            return (
                "A docstring has a code block, and only pages are run. Show it on a page, or indent it as an example."
            )
        names = " and ".join(f"docs/{name}" for name in self.page.names)
        return f"{names} have the same text, so it cannot be told which of them ran: delete one, or change it."

    def _line_of(self, text: str) -> int:
        """The line of the page on which a block's text starts; 1 if it is not found."""
        lines = [line.strip(" \t>") for line in self.page.file.read_text(encoding="utf-8").split("\n")]
        wanted = [line.strip(" \t>") for line in text.split("\n")]
        for number in range(len(lines)):
            if lines[number : number + len(wanted)] == wanted:
                return number + 1
        return 1
