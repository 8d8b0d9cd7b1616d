"""The line at the head of a page: on which versions of PostgreSQL its blocks ran, said once."""

from __future__ import annotations

from html import escape

from website.marks.block import Blocks
from website.proof import visible
from website.versions import shared
from website.words import in_words


def line(blocks: Blocks) -> str:
    """Return the line as HTML; nothing for a page without a block that ran."""
    place = f' data-proof-page="{escape(blocks.page.name)}"' if blocks.live else ""
    if blocks.staleness:
        return f'<p class="tested tested--stale"{place} data-search-exclude>Not verified: {blocks.staleness}</p>'
    versions = shared(visible(blocks.proof.entries(blocks.page.name)))
    if not versions:
        return f'<p class="tested"{place} data-search-exclude></p>' if place else ""
    return f'<p class="tested"{place} data-search-exclude>Tested on PostgreSQL {in_words(versions)}</p>'
