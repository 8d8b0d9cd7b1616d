"""The workshop of a run: it makes workspaces, the next page's while this one runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from handbook.checkout import copy_checkout, copy_files, settle
from handbook.cluster import restore, state_of
from handbook.environment import of_block
from handbook.forked import end_children, has_children
from handbook.postgres import DatabaseError, Postgres
from handbook.process import Process, ProcessError
from handbook.workspace import Workspace

DOCS = "docs"
# What the page's Python has loaded before its first block; the rest is loaded by those who ask for it.
LOADED = ("handbook.interpreter",)


class Workshop:
    """Makes the workspaces of one process's pages, of which one is open at a time.

    Arguments:
        project: the checkout.
        postgres: the server of its pages.
    """

    def __init__(self, project: Path, postgres: Postgres) -> None:
        self.project = project
        self.postgres = postgres
        # What the server holds beside the databases of the run; unknown where others use it too.
        self._before = state_of(postgres) if postgres.alone else None
        self._clean = self._start()
        self._helper = ThreadPoolExecutor(1, "workshop")
        self._ahead: dict[str, Future[tuple[Path, str]]] = {}
        self._copies: dict[bool, Path] = {}

    def open(self, page: Path, template: str, *, more: bool = False) -> Workspace:
        """The workspace of a page.

        Arguments:
            page: the page's file.
            template: what it starts with, one of `DATABASES` of `handbook.page`.
            more: whether other pages follow; what the next one needs is made meanwhile.

        Raises:
            DatabaseError: the page's database cannot be made.
        """
        made = self._ahead.pop(template, None) or self._helper.submit(self._make, template)
        if more:
            self._ahead[template] = self._helper.submit(self._make, template)
        return Workspace(*made.result(), self.postgres, self._clean, page)

    def stop(self, workspace: Workspace) -> None:
        """End a page's processes."""
        workspace.end()
        try:
            self._clean.call(end_children)
        except ProcessError:  # a block has ended it
            self._clean.end()
            workspace.clean = self._clean = self._start()

    def is_idle(self, workspace: Workspace) -> bool:
        """Whether a page is no more than its files and its database: nothing runs, the server is as it was."""
        return not workspace.has_python and not self._clean.call(has_children) and not self._changed()

    def close_page(self, workspace: Workspace) -> list[str]:
        """End a page: its processes, its database and its files.

        Returns:
            What the page leaves changed on the server, and cannot be taken back.
        """
        self.stop(workspace)
        if not self._changed():
            self._helper.submit(self._remove, workspace.directory, workspace.database)
            return []
        self._remove(workspace.directory, workspace.database)
        return self.restore()

    def restore(self) -> list[str]:
        """Take back what has changed on the server; return what cannot be."""
        return restore(self.postgres, self._before) if self._before is not None and self._changed() else []

    def _changed(self) -> bool:
        return self._before is not None and state_of(self.postgres) != self._before

    def close(self) -> None:
        """End the workshop, and what it has made ahead."""
        for made in self._ahead.values():
            with suppress(DatabaseError, OSError):
                self._remove(*made.result())
        self._helper.shutdown()
        for copy in self._copies.values():
            shutil.rmtree(copy, ignore_errors=True)
        self._clean.end()

    def _start(self) -> Process:
        environment = of_block(os.environ, self.postgres.scratch)
        return Process.start(LOADED, {**environment, **self.postgres.environment})

    def _make(self, template: str) -> tuple[Path, str]:
        pages = self.postgres.scratch / "pages"
        pages.mkdir(parents=True, exist_ok=True)
        database = self.postgres.create(template)
        directory = Path(tempfile.mkdtemp(prefix="page-", dir=pages))
        copy_files(self._copy(landed=template == "checkout"), directory)
        settle(directory)
        return directory, database

    def _copy(self, *, landed: bool) -> Path:
        """The checkout's files as every page is given them."""
        if landed not in self._copies:
            copy = Path(tempfile.mkdtemp(prefix="checkout-", dir=self.postgres.scratch))
            copy_checkout(self.project, copy, landed=landed)
            self._copies[landed] = copy
        return self._copies[landed]

    def _remove(self, directory: Path, database: str) -> None:
        self.postgres.drop(database)
        shutil.rmtree(directory, ignore_errors=True)
