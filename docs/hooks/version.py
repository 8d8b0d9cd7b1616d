"""The MkDocs hook that lets a reader choose the version of the handbook, where mike puts several beside each other.

A page asks its server which versions there are, so a site that stands alone must not have the choice.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

# Set by mike while it builds: https://github.com/jimporter/mike
VERSION = "MIKE_DOCS_VERSION"


def on_config(config: MkDocsConfig) -> None:
    """Have the theme show the choice."""
    if VERSION in os.environ:
        config.extra["version"] = {"provider": "mike"}
