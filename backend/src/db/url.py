"""The URL of a database: whether it is one, what of it may be shown, and what of it is for whom."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, unquote, unquote_plus, urlsplit

_HOST = r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?"
_LAST_PORT = 65535

# What managed services write into a URL for other clients. asyncpg would send it to the server as a setting, which
# the server refuses. libpq knows the first ones; the others are those of connection pools, and libpq refuses them too.
_LIBPQ = {
    *("channel_binding", "connect_timeout", "fallback_application_name", "keepalives", "keepalives_count"),
    *("keepalives_idle", "keepalives_interval", "load_balance_hosts", "sslcertmode", "sslcompression", "sslsni"),
    "tcp_user_timeout",
}
_POOLS = {
    *("connection_limit", "pgbouncer", "pool_timeout", "prepared_statements", "statement_cache_size", "supa"),
    *("uselibpqcompat", "workaround"),
}
# The others are PG and the name of the parameter.
_VARIABLES = {"dbname": "PGDATABASE", "application_name": "PGAPPNAME", "connect_timeout": "PGCONNECT_TIMEOUT"}
_SECRETS = {"password", "sslpassword"}


def hosts(url: str) -> str:
    """Return the hosts of a URL as it writes them, with their ports and without the user's name and password.

    Raises:
        ValueError: the URL is malformed. What its text says of it may hold a part of the password.
    """
    parts = _split(url)
    # In a password, each of these ends what is taken for the host, and what looks like a host is a part of it.
    if parts.scheme not in {"postgresql", "postgres"} or "@" in parts.path or parts.fragment:
        raise ValueError(url)
    written = parts.netloc.rpartition("@")[2].replace("%5B", "[").replace("%5D", "]")
    for host in written.split(","):
        match = re.fullmatch(_HOST, host)
        if match is None or (match[1] and not 0 < int(match[1]) <= _LAST_PORT):
            raise ValueError(url)
    return written


def address(url: str) -> str:
    """Say which server and database a URL names, without its user name and password.

    Raises:
        ValueError: the URL is malformed.
    """
    name = _split(url).path.removeprefix("/")
    host = hosts(url) or parameter(url, "host") or "the default host"
    return f"{host}, database {name}" if name else host


def is_local(url: str) -> bool:
    """Tell whether a URL names nothing but Unix sockets, on which nothing is encrypted."""
    named = unquote(hosts(url)) or parameter(url, "host") or ""
    return all(host.startswith("/") for host in named.split(","))


def connect_timeout(url: str) -> float | None:
    """Return how many seconds a URL gives for connecting, if it says so.

    Raises:
        ValueError: it is not a number of seconds.
    """
    seconds = int(parameter(url, "connect_timeout") or 0)
    return seconds if seconds > 0 else None


def for_asyncpg(url: str) -> str:
    """Return a URL without the parameters that asyncpg would take for settings of the server.

    If it has brackets, its hosts become a parameter: see ``_split``, since asyncpg splits it as Python does.
    """
    known = _without(url, _LIBPQ | _POOLS)
    if not {"[", "]"} & set(known):
        return known
    parts = _split(known)
    login, _, places = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}@", query="&".join(filter(None, [parts.query, f"host={places}"]))).geturl()


def for_libpq(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL for psql and pg_dump, and the environment variable with its password.

    Every user of a machine can read the arguments of a program, so the URL is left without any password.
    """
    start, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@") if "@" in _split(url).netloc else ("", "", rest)
    user, _, password = login.partition(":")
    known = _without(f"{start}://{user}{at}{place}", _SECRETS | _POOLS)
    found = unquote(password) or parameter(url, "password")
    return known, {"PGPASSWORD": found} if found else {}


def variables(url: str) -> dict[str, str]:
    """Return the PG* variables by which psql, pg_dump and the like find the database of a URL without being told."""
    known, secret = for_libpq(url)
    parts = _split(known)
    user, _, places = parts.netloc.rpartition("@")
    pairs = [place.rpartition(":") if re.search(r":\d*$", place) else (place, "", "") for place in places.split(",")]
    found = {
        "host": ",".join(unquote(host).strip("[]") for host, _, _ in pairs),
        "port": ",".join(port for _, _, port in pairs),
        "user": unquote(user),
        "dbname": unquote(parts.path.removeprefix("/")),
        **{name: values[-1] for name, values in parse_qs(parts.query).items()},
    }
    named = {_VARIABLES.get(name, f"PG{name.upper().replace('_', '')}"): value for name, value in found.items()}
    return {**{name: value for name, value in named.items() if value.strip(",")}, **secret}


def parameter(url: str, name: str) -> str | None:
    """Return the value of a parameter, the last one if there are more, as asyncpg does."""
    return parse_qs(_split(url).query).get(name, [None])[-1]


def _split(url: str) -> SplitResult:
    """Split a URL, with its brackets as %5B and %5D: newer Pythons refuse an IPv6 address that is not the only host."""
    return urlsplit(url.replace("[", "%5B").replace("]", "%5D"))


def _without(url: str, names: set[str]) -> str:
    start, mark, query = url.partition("?")
    kept = "&".join(part for part in query.split("&") if unquote_plus(part.partition("=")[0]) not in names)
    return f"{start}{mark}{kept}" if kept else start
