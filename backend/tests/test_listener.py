"""The socket that the backend serves on."""

from __future__ import annotations

import gc
import socket

import pytest

from src.listener import ListenerError, open_listener


def test_what_is_reserved_is_served_once_somebody_listens() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)
        listener.listen()
        socket.create_connection(address, timeout=5).close()


def test_an_address_in_use_is_told_and_its_socket_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenerError) as raised:
            open_listener("127.0.0.1", port)
    assert str(raised.value) == (
        f"Cannot listen on 127.0.0.1, port {port}: Address already in use. Stop the program that uses this address, or "
        "set PLANTOPS_HOST or PLANTOPS_PORT to another one."
    )
    del raised
    gc.collect()  # a socket that is left open is a warning then, and a warning is an error here


def test_a_name_that_no_machine_has() -> None:
    with pytest.raises(ListenerError, match=r"^Cannot listen on no-such-host\.invalid, port 8080: .* Stop the program"):
        open_listener("no-such-host.invalid", 8080)
