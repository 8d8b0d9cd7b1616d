"""The errors of the migration runner.

Each has a short code that does not change and a section of the handbook that explains it.
Their text is meant to be read alone: a failed start-up prints it and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

HANDBOOK_PAGE = "docs/errors.md"


class MigrationError(Exception):
    """A migration, or the database that it is for, keeps the backend from starting.

    Arguments:
        message: what happened and what to do, one or more lines.
        file: the migration file concerned, if there is one.
        line: the line in that file, counted from 1, if it is known.

    ``undone`` tells whether nothing of a migration is kept, so that another try does no harm.
    """

    code: ClassVar[str] = "PM00"
    undone = False

    def __init_subclass__(cls, code: str) -> None:
        cls.code = code

    def __init__(self, message: str, *, file: Path | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line

    @property
    def page(self) -> str:
        """The place in the handbook that explains this error, relative to the top of the checkout."""
        return f"{HANDBOOK_PAGE}#{self.code.lower()}"

    def __str__(self) -> str:
        place = ""
        if self.file is not None:
            line = "" if self.line is None else f", line {self.line}"
            place = f"{self.file.name}{line}: "
        return f"{place}{self.message}\n[{self.code}] Background: {self.page}"


class MigrationDirectoryError(MigrationError, code="PM01"):
    """The directory of the migrations does not exist, cannot be read, or has no migrations."""


class MigrationNameError(MigrationError, code="PM02"):
    """The name of a file in the directory does not start with a version."""


class DuplicateVersionError(MigrationError, code="PM03"):
    """Two files have one version."""


class MigrationLoadError(MigrationError, code="PM04"):
    """A migration file cannot be read, does not parse, or fails while it is imported."""


class MissingUpError(MigrationError, ValueError, code="PM05"):
    """A migration file defines no ``up``."""


class UpNotAsyncError(MigrationError, ValueError, code="PM06"):
    """The ``up`` of a migration file is not an ``async def`` function."""


class MigrationSqlError(MigrationError, code="PM07"):
    """PostgreSQL refused a statement of a migration.

    Arguments:
        message: the whole text.
        file: the migration file.
        line: the line in that file that sent the statement; None when the statement was the runner's own COMMIT.
        sqlstate: PostgreSQL's five-character code.
        detail: PostgreSQL's detail, if it gave one.
        hint: PostgreSQL's hint, if it gave one.
    """

    def __init__(  # noqa: PLR0913 - these are the fields of PostgreSQL's own error report
        self, message: str, *, file: Path, line: int | None, sqlstate: str, detail: str | None, hint: str | None
    ) -> None:
        super().__init__(message, file=file, line=line)
        self.sqlstate, self.detail, self.hint = sqlstate, detail, hint


class MigrationCodeError(MigrationError, code="PM08"):
    """The Python code of ``up`` raised an exception that is not PostgreSQL's."""


class TransactionEndedError(MigrationError, code="PM09"):
    """A migration ended the transaction that its record belongs to, or left one of its own open."""


class SwallowedErrorError(MigrationError, code="PM10"):
    """A migration caught a SQL error and went on, in a transaction that can no longer commit."""


class InvalidIndexError(MigrationError, code="PM11"):
    """A migration left an invalid index behind, or passed one over because it has the right name."""


class LockTimeoutError(MigrationError, code="PM12"):
    """A migration could not get its table lock in any of its tries."""


class DatabaseUnavailableError(MigrationError, code="PM13"):
    """No connection to the database can be made."""


class ConnectionLostError(MigrationError, code="PM14"):
    """The connection broke while the migrations were being applied."""


class HistoryError(MigrationError, code="PM15"):
    """The table ``schema_migrations`` cannot be created, read or written."""
