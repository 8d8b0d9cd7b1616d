"""The account that PostgreSQL runs under: it refuses to be root."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def account_of(data: Path) -> dict[str, Any]:
    """Return the arguments of subprocess by which root becomes the owner of the data, or ``nobody``."""
    status = data.stat() if data.exists() else None
    if status is None or status.st_uid == 0:
        entry = pwd.getpwnam("nobody")
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    try:
        group = pwd.getpwuid(status.st_uid).pw_gid
    except KeyError:  # the account has no name
        group = status.st_gid
    return {"user": status.st_uid, "group": group, "extra_groups": []}


def make_directory(path: Path, account: Mapping[str, Any]) -> None:
    """Make a directory that only the account may enter."""
    path.mkdir(mode=0o700)
    os.chown(path, account.get("user", -1), account.get("group", -1))


def is_owned(path: Path, account: Mapping[str, Any]) -> bool:
    """Tell whether a directory exists and belongs to the account under which PostgreSQL runs."""
    return path.is_dir() and path.stat().st_uid == account.get("user", os.geteuid())
