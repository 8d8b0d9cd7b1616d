"""What a copy of a schema has beside the schema: the settings of its sessions, and filled materialized views."""

from __future__ import annotations

import asyncpg

from ..connection import Connection, connect

# What each new session of this database and role begins with: ALTER DATABASE, ALTER ROLE, and the server's files. What
# names things that the copy does not have is left out. pg_settings does not list parameters that nobody defines, such
# as app.tenant.
_SETTINGS = """
    SELECT name || '=' || reset_val FROM pg_settings
    WHERE context IN ('user', 'superuser') AND reset_val IS DISTINCT FROM boot_val AND name NOT IN (
        'application_name', 'client_encoding', 'max_stack_depth', 'session_preload_libraries',
        'local_preload_libraries', 'default_tablespace', 'temp_tablespaces',
        'transaction_isolation', 'transaction_read_only', 'transaction_deferrable'
    )
    UNION ALL
    SELECT setting FROM (
        SELECT DISTINCT ON (split_part(setting, '=', 1)) setting
        FROM pg_db_role_setting, unnest(setconfig) AS setting
        WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
            AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
            AND split_part(setting, '=', 1) LIKE '%.%'
        ORDER BY split_part(setting, '=', 1), setrole <> 0 DESC, setdatabase <> 0 DESC
    ) AS undefined
    WHERE split_part(setting, '=', 1) NOT IN (SELECT name FROM pg_settings)
"""
_SET = """
    INSERT INTO pg_db_role_setting (setdatabase, setrole, setconfig)
    SELECT oid, 0, $1::text[] FROM pg_database WHERE datname = current_database()
"""
_FILLED_VIEWS = """
    SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'm' AND relispopulated ORDER BY pg_class.oid
"""


async def fill(source: Connection, copy_url: str) -> list[str]:
    """Give a copy of a schema what its database has beside it.

    Arguments:
        source: a session of the database; its own SET do not count.
        copy_url: the copy, where the role is a superuser.

    Returns:
        Notes about the materialized views that cannot be filled without rows.
    """
    settings = [row[0] for row in await source.fetch(_SETTINGS)]
    views = [row[0] for row in await source.fetch(_FILLED_VIEWS)]
    conn = await connect(copy_url)
    await conn.execute(_SET, settings)
    await conn.close()
    # Only a new session has the settings.
    conn = await connect(copy_url)
    try:
        return await _refresh(conn, views)
    finally:
        await conn.close()


async def _refresh(conn: Connection, views: list[str]) -> list[str]:
    """Fill materialized views, one that reads another after it."""
    failed: dict[str, asyncpg.PostgresError] = {}
    for view in views:
        try:
            await conn.execute(f"REFRESH MATERIALIZED VIEW {view}")
        except asyncpg.PostgresError as error:
            failed[view] = error
    if failed and len(failed) < len(views):
        return await _refresh(conn, list(failed))
    return [f"the materialized view {view} is empty on the copy: {error}" for view, error in failed.items()]
