"""A server as its users see it: its URL, and where their files may lie."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from .file_lock import lock
from .problem import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

USER = "plantops"
DATABASE = "plantops"
PORT = 5432


class Server:
    """An embedded PostgreSQL server that is starting or running.

    Attributes:
        scratch: a directory for the owner's files, removed together with a throw-away server.
        environment: Variables for processes that must not outlive a throw-away server; empty for development.
    """

    def __init__(self, control: Path, scratch: Path, environment: Mapping[str, str]) -> None:
        """Describe the server whose locks and state lie in the directory ``control``."""
        self._control = control
        self.scratch = scratch
        self.environment = dict(environment)

    def url(self, database: str = DATABASE) -> str:
        """Return the URL of a database of this server, waiting until the server is ready.

        Arguments:
            database: the name of the database; it need not exist yet.

        Raises:
            ServerError: PostgreSQL did not start.
        """
        try:
            os.close(lock(self._control / "start.lock", fcntl.LOCK_SH))
            state = json.loads((self._control / "state.json").read_text())
        except FileNotFoundError:
            state = {"error": "The process that starts PostgreSQL was killed. Start again."}
        if "error" in state:
            raise ServerError(state["error"])
        # The port is part of the socket's name, and would be taken from PGPORT otherwise.
        return f"postgresql://{USER}@/{quote(database, safe='')}?host={quote(state['host'])}&port={PORT}"
