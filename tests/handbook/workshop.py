"""The workshop of a run: it makes workspaces, the next page's while this one runs."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from handbook.checkout import Checkout
from handbook.cluster import state_of
from handbook.environment import of_block
from handbook.postgres import Postgres
from handbook.process import Process
from handbook.workspace import Workspace

# What the page's Python has loaded before its first block; the rest is loaded by those who ask for it.
DOCS = "docs"
LOADED = ("handbook.interpreter", "handbook.launch")


class Order(NamedTuple):
    """What is known of a page before its workspace is made: its file, and what it starts with, one of `DATABASES`."""

    page: Path
    template: str


class Workshop:
    """Makes the workspaces of one process's pages.

    Arguments:
        project: the checkout.
        postgres: the server of its pages.
    """

    def __init__(self, project: Path, postgres: Postgres) -> None:
        self.project = project
        self.postgres = postgres
        self.clean = self._start()
        """What the pages' Python is forked from."""
        self._helper = ThreadPoolExecutor(1, "workshop")
        self._open: list[Workspace] = []
        self._ahead: dict[Order, Future[tuple[Path, str]]] = {}

    @cached_property
    def _checkout(self) -> Checkout:
        return Checkout(self.project)

    @cached_property
    def _before(self) -> dict[str, str] | None:
        return state_of(self.postgres) if self.postgres.alone else None

    def open(self, page: Path, template: str, following: Order | None = None) -> Workspace:
        """The workspace of a page.

        Arguments:
            page: the page's file.
            template: what it starts with, one of `DATABASES` of `handbook.page`.
            following: the page that comes after it; its workspace is made meanwhile.

        Raises:
            DatabaseError: the page's database cannot be made.
        """
        order = Order(page, template)
        made = self._ahead.pop(order, None) or self._helper.submit(self._make, order)
        if following is not None and following not in self._ahead:
            self._ahead[following] = self._helper.submit(self._make, following)
        directory, database = made.result()
        workspace = Workspace(directory, self.postgres, database, self.revived(), page, self._before)
        self._open.append(workspace)
        return workspace

    def revived(self) -> Process:
        """The clean process, started anew if a page has ended it."""
        if self.clean.has_ended:
            self.clean = self._start()
        return self.clean

    def close_page(self, workspace: Workspace) -> list[str]:
        """End a page, as `Workspace.close`; what takes time is done while others run."""
        self._open = [other for other in self._open if other is not workspace]
        return workspace.close(self._helper, alone=not self._open)

    def close(self) -> None:
        """End the workshop, and what it has made ahead."""
        self._helper.shutdown(cancel_futures=False)
        for made in self._ahead.values():
            with suppress(Exception):
                directory, database = made.result()
                Workspace(directory, self.postgres, database, self.clean, directory).close()
        self._ahead.clear()
        self.clean.end()

    def _start(self) -> Process:
        environment = of_block(os.environ, self.postgres.scratch)
        return Process.start(LOADED, {**environment, **self.postgres.environment})

    def _make(self, order: Order) -> tuple[Path, str]:
        pages = self.postgres.scratch / "pages"
        pages.mkdir(parents=True, exist_ok=True)
        # Another process of the run may have the same page, and another page may have the same name.
        docs = self.project / DOCS
        above = docs if docs in order.page.parents else self.project
        name = "-".join(order.page.relative_to(above).with_suffix("").parts)
        database = self.postgres.create(order.template)
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=pages))
        self._checkout.write(directory, landed=order.template == "checkout")
        return directory, database
