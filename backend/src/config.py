"""The backend's settings: environment variables, checked together before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from src.db.url import hosts

TOP = Path(__file__).resolve().parents[2]
"""The top of the checkout; relative paths in settings start there."""

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LAST_PORT = 65535


class SettingsError(Exception):
    """Environment variables have values that cannot be used; the text names each of them and the remedy."""


@dataclass(frozen=True)
class Settings:
    """The settings of one backend.

    Attributes:
        database_url: ``postgresql://user:password@host:port/database``; None means the development server.
            It may hold a password, so ``repr`` leaves it out.
        host: the address to listen on.
        port: the TCP port to listen on, from 1 to 65535.
        log_level: the lowest level that is logged, such as ``INFO``.
        data: the directory of the development server's data, the log and the process id.
    """

    database_url: str | None = field(repr=False)
    host: str
    port: int
    log_level: str
    data: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; a variable that is not set, or empty, has its default.

        Arguments:
            environ: the variables: DATABASE_URL, PLANTOPS_HOST, PLANTOPS_PORT, PLANTOPS_LOG_LEVEL, PLANTOPS_DATA.

        Raises:
            SettingsError: one or more values cannot be used; all of them are named.
        """
        database_url = environ.get("DATABASE_URL") or None
        host = environ.get("PLANTOPS_HOST") or "127.0.0.1"
        port = environ.get("PLANTOPS_PORT") or "8080"
        level = environ.get("PLANTOPS_LOG_LEVEL") or "INFO"
        data = TOP / (environ.get("PLANTOPS_DATA") or ".data")
        checks = (
            (_is_url(database_url), _URL_PROBLEM),
            (
                re.fullmatch(r"[\w.:%-]+", host),
                f"PLANTOPS_HOST is {host!r}. It must be a host name or IP address alone. Unset it to use 127.0.0.1.",
            ),
            (
                re.fullmatch(r"0*[1-9][0-9]{0,4}", port, re.ASCII) and int(port) <= _LAST_PORT,
                f"PLANTOPS_PORT is {port!r}. It must be a whole number from 1 to {_LAST_PORT}. Unset it to use 8080.",
            ),
            (
                level.upper() in _LEVELS,
                f"PLANTOPS_LOG_LEVEL is {level!r}. It must be one of {', '.join(_LEVELS)}. Unset it to use INFO.",
            ),
            (
                data.is_dir() or not data.exists(),
                f"PLANTOPS_DATA is {str(data)!r}. It must be a directory, or not exist yet. Unset it to use .data.",
            ),
        )
        problems = [problem for usable, problem in checks if not usable]
        if problems:
            raise SettingsError("\n".join(problems))
        return cls(database_url, host, int(port), level.upper(), data)

    @property
    def url(self) -> str:
        """The address of the backend, as a client writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


# The value may hold a password, and a value that is no URL does not tell where.
_URL_PROBLEM = (
    "DATABASE_URL (its value is not shown, it may hold a password) is not the URL of a PostgreSQL database. "
    "Write it as postgresql://user:password@host:5432/database, with the characters / ? # @ : % of the password "
    "percent-encoded, or unset it to use the development server."
)


def _is_url(value: str | None) -> bool:
    try:
        return value is None or hosts(value) is not None
    except ValueError:  # its port is no number, for instance, which is often the rest of a password
        return False
