"""The socket that the backend serves on."""

from __future__ import annotations

import socket


class ListenerError(Exception):
    """The backend's address cannot be used; the text says why and what to do."""


def open_listener(host: str, port: int) -> socket.socket:
    """Reserve an address; it refuses connections until a server listens on the socket.

    Arguments:
        host: a host name or an IP address.
        port: a TCP port, from 1 to 65535.

    Raises:
        ListenerError: the address is in use, or is no address of this machine.
    """
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        problem = (
            f"Cannot listen on {host}, port {port}: {error.strerror}. Stop the program that uses this address, or set "
            "PLANTOPS_HOST or PLANTOPS_PORT to another one."
        )
        raise ListenerError(problem) from error
    return listener
