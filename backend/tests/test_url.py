"""The URL of a database, and what of it is for whom."""

from __future__ import annotations

import pytest

from src.db import url


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://me:hush@host:5433/plants?sslmode=require", "host:5433, database plants"),
        ("postgres://me:hush@a:1,[::1],b/plants", "a:1,[::1],b, database plants"),
        ("postgresql:///plants?host=/run/postgresql", "/run/postgresql, database plants"),
        ("postgresql://me@", "the default host"),
        ("postgresql://me@work:p@ss@host:65535/plants", "host:65535, database plants"),
    ],
)
def test_what_may_be_shown(written: str, shown: str) -> None:
    assert url.address(written) == shown


@pytest.mark.parametrize(
    "written",
    [
        "mysql://host/plants",
        "postgresql://me:12#hush@host/plants",
        "postgresql://me:12/hush@host/plants",
        "postgresql://me:hush@host:port/plants",
        "postgresql://me@a:1,b:0/plants",
        "postgresql://me@a:65536/plants",
        "postgresql://me@[::1/plants",
        "postgresql://me@::1/plants",
    ],
)
def test_what_is_malformed(written: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is never shown
        url.address(written)


@pytest.mark.parametrize(
    ("written", "local"),
    [
        ("postgresql:///plants?host=/run/postgresql", True),
        ("postgresql://me@%2Frun%2Fpostgresql/plants", True),
        ("postgresql://me@host/plants", False),
        ("postgresql://me@%2Frun,host/plants", False),
        ("postgresql:///plants", False),  # the default host may be localhost
    ],
)
def test_what_is_a_socket(written: str, *, local: bool) -> None:
    assert url.is_local(written) == local


@pytest.mark.parametrize(("query", "seconds"), [("", None), ("?connect_timeout=1", 1), ("?connect_timeout=0", None)])
def test_the_time_for_connecting(query: str, seconds: float | None) -> None:
    assert url.connect_timeout(f"postgresql://me@host/plants{query}") == seconds


def test_what_asyncpg_does_not_know_is_left_out() -> None:
    known = "postgresql://me:hush@host/plants?sslmode=require&options=-c%20a%3Db"
    assert url.for_asyncpg(f"{known}&channel_binding=require&pgbouncer=true&connect_timeout=3") == known
    assert url.for_asyncpg("postgresql:///plants?pgbouncer=true") == "postgresql:///plants"
    assert url.for_asyncpg(known) == known
    assert url.for_asyncpg("postgresql://host/p?supa=a=b&options=c?d") == "postgresql://host/p?options=c?d"
    others = (
        *("channel_binding", "connect_timeout", "fallback_application_name", "keepalives", "keepalives_count"),
        *("keepalives_idle", "keepalives_interval", "load_balance_hosts", "sslcertmode", "sslcompression", "sslsni"),
        *("tcp_user_timeout", "connection_limit", "pgbouncer", "pool_timeout", "prepared_statements"),
        *("statement_cache_size", "supa", "uselibpqcompat", "workaround"),
    )
    written = "&".join(f"{name}=1" for name in others)
    assert url.for_asyncpg(f"{known}&{written}") == known


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("postgresql://me@a:1,[::1]:2/d?sslmode=prefer", "postgresql://me@/d?sslmode=prefer&host=a:1,%5B::1%5D:2"),
        ("postgresql://[::1]/d", "postgresql://@/d?host=%5B::1%5D"),
        ("postgresql://me:h[u]sh@host:1/d", "postgresql://me:h%5Bu%5Dsh@/d?host=host:1"),
    ],
)
def test_brackets_do_not_reach_the_hosts_that_asyncpg_splits(written: str, given: str) -> None:
    assert url.for_asyncpg(written) == given


@pytest.mark.parametrize(
    ("written", "argument", "password"),
    [
        ("postgresql://me:pass%20word@a:1,b/p", "postgresql://me@a:1,b/p", "pass word"),
        ("postgresql://me@host/p?password=a%26b&sslmode=require", "postgresql://me@host/p?sslmode=require", "a&b"),
        ("postgresql://me:one@host/p?pass%77ord=two", "postgresql://me@host/p", "one"),
        ("postgresql:///p?host=/run&sslpassword=x&pgbouncer=true", "postgresql:///p?host=/run", None),
        ("postgresql://host/p?channel_binding=require", "postgresql://host/p?channel_binding=require", None),
        ("postgresql://me:p@ss@host/p", "postgresql://me@host/p", "p@ss"),
        ("postgresql:///p?options=a://b@c", "postgresql:///p?options=a://b@c", None),
        ("postgresql://me:hush@host/p?options=a://b", "postgresql://me@host/p?options=a://b", "hush"),
    ],
)
def test_a_password_is_no_argument(written: str, argument: str, password: str | None) -> None:
    assert url.for_libpq(written) == (argument, {} if password is None else {"PGPASSWORD": password})


@pytest.mark.parametrize(
    ("written", "variables"),
    [
        (
            "postgresql://me:a%2Fb@host:5433/pl%20ants?sslmode=require&connect_timeout=5",
            "PGCONNECT_TIMEOUT=5 PGDATABASE=pl ants PGHOST=host PGPASSWORD=a/b PGPORT=5433 PGSSLMODE=require PGUSER=me",
        ),
        ("postgresql://me@a:1,[::1]:2/d", "PGDATABASE=d PGHOST=a,::1 PGPORT=1,2 PGUSER=me"),
        (
            "postgresql://me@[::1]/d?target_session_attrs=primary",
            "PGDATABASE=d PGHOST=::1 PGTARGETSESSIONATTRS=primary PGUSER=me",
        ),
        (
            "postgresql://me@/d?host=%2Frun&port=5432&application_name=x",
            "PGAPPNAME=x PGDATABASE=d PGHOST=/run PGPORT=5432 PGUSER=me",
        ),
        ("postgresql:///?pgbouncer=true", ""),
        ("postgresql://a,b/d", "PGDATABASE=d PGHOST=a,b"),
        ("postgresql://me@work@X/d", "PGDATABASE=d PGHOST=X PGUSER=me@work"),
    ],
)
def test_what_programs_are_told(written: str, variables: str) -> None:
    assert " ".join(f"{name}={value}" for name, value in sorted(url.variables(written).items())) == variables
