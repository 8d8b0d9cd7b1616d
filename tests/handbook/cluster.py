"""What a PostgreSQL server holds beside the databases of a run: what a page leaves there, the next would find."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import asyncpg

from handbook.postgres import Postgres

# What a page can leave behind on the server beside its own database: databases, roles, tablespaces and settings.
MADE = """
    SELECT 'DATABASE' AS kind, datname AS name FROM pg_database WHERE NOT starts_with(datname, $1)
    UNION ALL SELECT 'ROLE', rolname FROM pg_roles WHERE rolname !~ '^pg_'
    UNION ALL SELECT 'TABLESPACE', spcname FROM pg_tablespace
"""
SETTINGS = """
    SELECT concat('role ', rolname) AS name,
        concat_ws(' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
            rolconnlimit, rolvaliduntil, rolpassword) AS value
        FROM pg_authid WHERE rolname !~ '^pg_'
    UNION ALL SELECT concat('settings of role ', setrole::regrole), array_to_string(setconfig, ' ')
        FROM pg_db_role_setting WHERE setdatabase = 0
    UNION ALL SELECT concat('members of role ', roleid::regrole), string_agg(member::regrole::text, ' ' ORDER BY 1)
        FROM pg_auth_members GROUP BY roleid
    UNION ALL SELECT concat('ALTER SYSTEM, ', name), setting FROM pg_file_settings WHERE sourcefile ~ 'auto.conf'
"""


def state_of(postgres: Postgres) -> dict[str, str]:
    """What a server holds beside the run's databases, each with its settings."""
    made = {f'{row["kind"]} "{row["name"]}"': "" for row in postgres.fetch(MADE, f"{postgres.run}_")}
    return made | {row["name"]: row["value"] for row in postgres.fetch(SETTINGS)}


def restore(postgres: Postgres, before: Mapping[str, str]) -> list[str]:
    """Drop what has come to a server since it was in some state; return what else is no longer as it was."""
    for _ in range(2):  # a role goes once those are gone that hang on it
        for name in state_of(postgres).keys() - before.keys():
            if name.startswith(("DATABASE", "ROLE", "TABLESPACE")):
                with suppress(asyncpg.PostgresError):
                    postgres.execute(f"DROP {name}{' WITH (FORCE)' if name.startswith('DATABASE') else ''}")
    now = state_of(postgres)
    return sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
