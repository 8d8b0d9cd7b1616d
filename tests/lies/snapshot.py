"""A page's files and database as they are above one of its blocks, to be brought back for each lie about it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from handbook.checkout import copy_files
from handbook.workshop import Workshop
from handbook.workspace import Workspace


class Snapshot:
    """A copy of what an idle workspace holds; what runs cannot be copied.

    Arguments:
        workspace: the page's.
        workshop: what made it.
    """

    def __init__(self, workspace: Workspace, workshop: Workshop) -> None:
        self.workspace, self.workshop = workspace, workshop
        self._files = tempfile.mkdtemp(dir=workspace.postgres.scratch)
        self._database = f"{workspace.database}_copy"
        copy_files(workspace.directory, Path(self._files))
        workspace.postgres.copy(workspace.database, self._database)

    def bring_back(self) -> list[str]:
        """End what runs, and undo what was done to files and databases; return what stays changed on the server."""
        workspace, postgres = self.workspace, self.workspace.postgres
        self.workshop.stop(workspace)
        postgres.drop(workspace.database)
        changed = self.workshop.restore()
        postgres.copy(self._database, workspace.database)
        shutil.rmtree(workspace.directory)
        copy_files(Path(self._files), workspace.directory)
        return changed

    def discard(self) -> None:
        """Delete the copy."""
        self.workspace.postgres.drop(self._database)
        shutil.rmtree(self._files)
