"""The backend: an ASGI application that migrates its database before it serves.

``python -m src.main`` runs it with the settings of the environment; ``uvicorn src.main:app`` serves it as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.config import Settings, SettingsError
from src.db.connection import create_pool
from src.db.errors import MigrationError
from src.db.migration_runner import get_applied_migrations, run_migrations
from src.db.server import ServerError, database_server
from src.listener import ListenerError, open_listener
from src.readiness import Readiness

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
SHUTDOWN_SECONDS = 5
"""How long a backend that was told to stop waits for the requests that it is answering."""

_BROKEN_OFF = "The start was broken off"
_EXPLAINED = (MigrationError, SettingsError, ServerError, ListenerError)

logger = logging.getLogger("src.main")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Bring the schema up to date and open the pool; requests are served only after that.

    Raises:
        SettingsError: the environment cannot be used.
        ServerError: the development server does not start.
        MigrationError: the database cannot be reached, or a migration failed.
    """
    settings = Settings.from_environment()
    with database_server(settings.database_url, settings.data) as database_url:
        applied = await run_migrations(await asyncio.to_thread(database_url))
        # The pool is opened after the migrations, so that none of its connections has seen an older schema.
        # It keeps no least number of connections: asyncpg would log a traceback each time that it cannot.
        async with await create_pool(database_url, min_size=0) as pool:
            async with pool.acquire() as connection:
                versions = await get_applied_migrations(connection)
            app.state.pool = pool
            app.state.readiness = Readiness(pool)
            app.state.schema = {"ready": True, "version": versions[-1] if versions else None, "applied": applied}
            yield
            app.state.schema = None


async def health(_: Request) -> JSONResponse:
    """Answer that the process lives."""
    return JSONResponse({"alive": True})


async def ready(request: Request) -> JSONResponse:
    """Answer with the schema's version and the versions that this start applied.

    The answer is 503 until the migrations are applied, and while the database does not answer.
    """
    state = request.app.state
    is_ready = state.schema is not None and await state.readiness.is_given()
    return JSONResponse(state.schema if is_ready else {"ready": False}, status_code=200 if is_ready else 503)


class PlainStartupFailure:
    """ASGI middleware: a start-up error that explains itself is logged as its text, without a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, with the message of a failed start-up replaced."""

        async def send_plain(message: Message) -> None:
            error = sys.exception()  # Starlette sends the message while it handles the error
            if message["type"] == "lifespan.startup.failed" and isinstance(
                error, (*_EXPLAINED, asyncio.CancelledError)
            ):
                level, text = (logging.ERROR, error) if str(error) else (logging.WARNING, _BROKEN_OFF)
                logger.log(level, "%s", text)
                message = {**message, "message": ""}
            await send(message)

        await self.app(scope, receive, send_plain)


app = Starlette(
    routes=[Route("/api/health", health), Route("/api/ready", ready)],
    middleware=[Middleware(PlainStartupFailure)],
    lifespan=lifespan,
)
app.state.schema = None


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Start the application and serve until a signal; ``/api/health`` answers while the migrations run.

    Raises:
        SettingsError, ServerError, MigrationError: as ``lifespan`` does.
        CancelledError: a signal came before the start was complete.
    """
    task = cast("asyncio.Task[None]", asyncio.current_task())

    def break_off(_: object) -> None:
        task.cancel()

    serving = asyncio.create_task(server.serve(sockets=[listener]))
    serving.add_done_callback(break_off)
    try:
        async with lifespan(app):
            serving.remove_done_callback(break_off)
            logger.info("Backend ready on http://%s:%s", server.config.host, server.config.port)
            await serving
    finally:
        serving.remove_done_callback(break_off)
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Uvicorn, with signals that only tell it to stop serving: what it serves is to be ended in order after that."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _exit(*_: object) -> None:
    sys.exit(0)


def _serve(settings: Settings, arguments: list[str]) -> int:
    """Serve on a listener that was handed over, or on one of our own, until a signal; return the exit status."""
    if arguments:
        listener_descriptor, pid_descriptor = map(int, arguments)
        os.write(pid_descriptor, f"{os.getpid()}\n".encode())
        listener = socket.socket(fileno=listener_descriptor)
    else:
        listener = open_listener(settings.host, settings.port)
    with listener:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",  # it is entered beside the server: health is to be seen while the migrations run
            log_config=None,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        try:
            asyncio.run(_run(_Server(config), listener))
        except asyncio.CancelledError:
            logger.warning(_BROKEN_OFF)
        except _EXPLAINED as error:
            logger.error("%s", error)  # noqa: TRY400 - the text explains itself
            return 1
    return 0


def main(arguments: list[str]) -> int:
    """Run the backend and return its exit status: 0 after a signal, 1 when it cannot start.

    Arguments:
        arguments: nothing, or the descriptors of the listener and of the locked file for the process id.
    """
    logging.basicConfig(format=LOG_FORMAT)
    # Uvicorn passes on the signals that it has handled; the default action would end the process as if killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    try:
        settings = Settings.from_environment()
        logging.getLogger().setLevel(settings.log_level)
        return _serve(settings, arguments)
    except (SettingsError, ListenerError) as error:
        logger.error("%s", error)  # noqa: TRY400 - the text explains itself
        return 1
    except SystemExit as end:
        return 1 if end.code else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
