"""A web server for the built site, of the kind that publishes it: compressed, below a path, with a page for errors."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote, urlsplit

PREFIX = "/some/path/"
COMPRESSED = ("text/", "application/javascript", "application/json", "image/svg+xml")


class Handler(BaseHTTPRequestHandler):
    """Answers with the files of a directory."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, directory: Path) -> None:
        self.directory = directory
        super().__init__(*arguments)  # type: ignore[arg-type]

    def handle(self) -> None:
        """Answer until the browser hangs up: a page that is left does not wait for what it has asked for."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Send a file, or the page for addresses that lead nowhere."""
        path = unquote(urlsplit(self.path).path)
        file = self.directory / path.removeprefix(PREFIX)
        if path.endswith("/"):
            file /= "index.html"
        if path.startswith(PREFIX) and file.is_file():
            self.answer(HTTPStatus.OK, file)
        else:
            self.answer(HTTPStatus.NOT_FOUND, self.directory / "404.html")

    do_HEAD = do_GET  # noqa: N815 - the name that the base class looks for

    def answer(self, status: HTTPStatus, file: Path) -> None:
        """Send a file with a status."""
        content = file.read_bytes()
        kind = guess_type(file.name)[0] or "application/octet-stream"
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        if kind.startswith(COMPRESSED) and "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content, compresslevel=9, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The address below which a directory is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=directory))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
