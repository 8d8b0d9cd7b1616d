"""Whether the database answers, as ``/api/ready`` asks."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace

import asyncpg
import pytest

from src import readiness
from src.db.connection import create_pool
from src.readiness import Readiness


async def end_sessions(url: str) -> None:
    """End all other sessions of a database."""
    conn = await asyncpg.connect(url)
    await conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await conn.close()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each question asked anew."""
    monkeypatch.setattr(readiness, "CACHED_SECONDS", 0.0)


@pytest.mark.usefixtures("often")
async def test_a_database_that_goes_and_comes_back_at_another_address(
    migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "src.main")
    url = migrated_url
    async with await create_pool(lambda: url, min_size=0) as pool:
        ready = Readiness(pool)
        assert await ready.is_given()
        url = "postgresql://me@127.0.0.1:1/plants"
        await end_sessions(migrated_url)
        assert not await ready.is_given()
        assert not await ready.is_given()
        url = migrated_url
        assert await ready.is_given()
    assert caplog.messages == [
        "The database does not answer: /api/ready answers 503 until it does",
        "The database answers again",
    ]


def test_the_times_are_those_that_the_handbook_names() -> None:
    assert (readiness.ANSWER_SECONDS, readiness.CACHED_SECONDS) == (1, 1)
    assert readiness._PATIENCE == 3


async def test_an_answer_is_used_for_a_second(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(readiness, "time", SimpleNamespace(monotonic=lambda: clock))
    async with await create_pool(migrated_url, min_size=0, max_size=2) as pool:
        ready = Readiness(pool)
        assert await ready.is_given()
        monkeypatch.setattr(readiness, "ANSWER_SECONDS", 0.05)
        # No connection is left to ask with: the answer is the old one for as long as nothing is asked.
        async with pool.acquire(), pool.acquire():
            clock += 1
            assert await ready.is_given()
            clock += 0.01
            assert not await ready.is_given()


@pytest.mark.usefixtures("often")
async def test_a_server_that_is_silent_is_not_waited_for(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(readiness, "_PATIENCE", 2.0)
    held: list[asyncio.StreamWriter] = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    url = migrated_url
    async with (
        await asyncio.start_server(silent, "127.0.0.1", 0) as server,
        await create_pool(lambda: url, min_size=0) as pool,
    ):
        ready = Readiness(pool)
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://me@127.0.0.1:{port}/plants"
        await end_sessions(migrated_url)
        for _ in range(2):
            asked = time.monotonic()
            assert not await ready.is_given()
            assert time.monotonic() - asked < 2.0
        assert len(held) == 1  # one question at a time, however often it is asked
        url = migrated_url
        deadline = time.monotonic() + 60
        while not await ready.is_given():
            assert time.monotonic() < deadline
        for writer in held:
            writer.close()
