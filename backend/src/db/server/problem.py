"""What is said of a server that cannot be started."""

from __future__ import annotations

_OTHER = "To use a server of your own instead, set DATABASE_URL (for tests, TEST_DATABASE_URL)."
# The first entry whose text occurs in the report says what to do.
_REMEDIES = (
    ("incompatible with server", "Move that directory away, or use the PostgreSQL version that made it."),
    ("No space left on device", "Free some space there and start again."),
    ("ermission denied", "Give the directory to the user who runs this, or remove it."),
    (
        "could not look up effective user ID",
        f"PostgreSQL refuses a user ID that is not in /etc/passwd. Add it there, or run as another user. {_OTHER}",
    ),
    ("", _OTHER),
)


class ServerError(Exception):
    """The embedded PostgreSQL server cannot be started; the text says why and what to do."""

    __module__ = "src.db.server"  # in a traceback, the name by which it is imported


def with_remedy(report: str) -> str:
    """Add to a report what can be done about it."""
    return f"{report}\n{next(remedy for sign, remedy in _REMEDIES if sign in report)}"
