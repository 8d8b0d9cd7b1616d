"""The browser that the site is tested in: the system's own Chromium, found by its name.

Run as a program it prints where the browser is, or says how to install one and ends with status 1.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
MISSING = (
    "There is no Chromium to test the site in. Debian and Ubuntu have it in a package (apt install chromium); "
    "CHROMIUM=/path/to/it names one that is elsewhere."
)
# It asks no host of its own accord.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-first-run",
)


def find() -> Path | None:
    """The browser that ``CHROMIUM`` names, by path or by name; without that variable, the first one of `NAMES`."""
    asked = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, [asked] if asked else NAMES)), None)
    return Path(found) if found else None


if __name__ == "__main__":
    browser = find()
    if browser is None:
        sys.exit(MISSING)
    sys.stdout.write(f"{browser}\n")
