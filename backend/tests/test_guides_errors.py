# ruff: noqa: S608 - the SQL is of this file alone
"""The errors that the guides and the pages of troubleshooting name: PostgreSQL says this, with this SQLSTATE."""

from __future__ import annotations

import asyncpg
import pytest

ALERT = "INSERT INTO alerts (metric, value, threshold, direction) VALUES ('humidity', 1e7, 80, 'above');"
CHECK = "ALTER TABLE plants ADD CONSTRAINT it CHECK (true);"
LIGHT = "CREATE TYPE light AS ENUM ('shade');"
READER = "CREATE ROLE plantops_reader;"
VIEW = "CREATE VIEW ferns AS SELECT id, name FROM plants;"

ERRORS = [
    (
        ALERT + "ALTER TABLE alerts ADD CONSTRAINT it CHECK (value < 9)",
        "23514",
        'check constraint "it" of relation "alerts" is violated by some row',
    ),
    (
        ALERT + "CREATE TABLE metrics (name text PRIMARY KEY);"
        "ALTER TABLE alerts ADD CONSTRAINT it FOREIGN KEY (metric) REFERENCES metrics",
        "23503",
        'insert or update on table "alerts" violates foreign key constraint "it"',
    ),
    (ALERT + "ALTER TABLE alerts ALTER value TYPE numeric(8, 2)", "22003", "numeric field overflow"),
    (
        ALERT + "ALTER TABLE alerts ALTER metric TYPE varchar(2)",
        "22001",
        "value too long for type character varying(2)",
    ),
    (
        "ALTER TABLE devices ALTER firmware_version TYPE integer",
        "42804",
        'column "firmware_version" cannot be cast automatically to type integer',
    ),
    (
        "ALTER TABLE devices ALTER status TYPE integer USING 1",
        "42804",
        'default for column "status" cannot be cast automatically to type integer',
    ),
    ("ALTER TABLE plants DROP species; SELECT species FROM plants", "42703", 'column "species" does not exist'),
    (
        "ALTER TABLE devices DROP mqtt_username; SELECT mqtt_username FROM devices",
        "42703",
        'column "mqtt_username" does not exist',
    ),
    (
        "CREATE SEQUENCE it AS integer START 2147483647; SELECT nextval('it'), nextval('it')",
        "2200H",
        'nextval: reached maximum value of sequence "it" (2147483647)',
    ),
    ("SELECT 'often'::bigint", "22P02", 'invalid input syntax for type bigint: "often"'),
    ("SELECT 2147483647 + 1", "22003", "integer out of range"),
    (
        (
            "CREATE TABLE pots (plan_id integer REFERENCES care_plans);"
            "ALTER TABLE care_plans DROP CONSTRAINT care_plans_pkey"
        ),
        "2BP01",
        "cannot drop constraint care_plans_pkey on table care_plans because other objects depend on it",
    ),
    (LIGHT + "SELECT 'sun'::light", "22P02", 'invalid input value for enum light: "sun"'),
    (LIGHT + "ALTER TYPE light ADD VALUE 'shade'", "42710", 'enum label "shade" already exists'),
    (
        "ALTER TABLE alerts ADD age interval GENERATED ALWAYS AS (now() - sent_at) STORED",
        "42P17",
        "generation expression is not immutable",
    ),
    (
        (
            "ALTER TABLE plants ADD label text GENERATED ALWAYS AS (upper(name)) STORED;"
            "INSERT INTO plants (id, name, label) VALUES ('mint', 'Mint', 'MINT')"
        ),
        "428C9",
        'cannot insert a non-DEFAULT value into column "label"',
    ),
    (
        "CREATE SCHEMA care; CREATE TABLE care.settings (); ALTER TABLE settings SET SCHEMA care",
        "42P07",
        'relation "settings" already exists in schema "care"',
    ),
    ("GRANT SELECT ON plants TO plantops_nobody", "42704", 'role "plantops_nobody" does not exist'),
    (READER + "SET LOCAL ROLE plantops_reader; CREATE ROLE it", "42501", "permission denied to create role"),
    (
        READER + "GRANT INSERT ON settings TO plantops_reader; CREATE POLICY it ON settings USING (key = 'language');"
        "ALTER TABLE settings ENABLE ROW LEVEL SECURITY; SET LOCAL ROLE plantops_reader;"
        "INSERT INTO settings VALUES ('theme', 'dark')",
        "42501",
        'new row violates row-level security policy for table "settings"',
    ),
    (
        READER + "GRANT SELECT ON plants TO plantops_reader; DROP ROLE plantops_reader",
        "2BP01",
        'role "plantops_reader" cannot be dropped because some objects depend on it',
    ),
    (VIEW + "CREATE OR REPLACE VIEW ferns AS SELECT id FROM plants", "42P16", "cannot drop columns from view"),
    (
        VIEW + "CREATE OR REPLACE VIEW ferns AS SELECT id, species FROM plants",
        "42P16",
        'cannot change name of view column "name" to "species"',
    ),
    (
        (
            "CREATE FUNCTION it() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
            "CREATE OR REPLACE FUNCTION it() RETURNS text LANGUAGE sql AS 'SELECT 1::text'"
        ),
        "42P13",
        "cannot change return type of existing function",
    ),
    (
        "CREATE EXTENSION pg_trgm; CREATE INDEX ON plants USING gin (name gin_trgm_ops); DROP EXTENSION pg_trgm",
        "2BP01",
        "cannot drop extension pg_trgm because other objects depend on it",
    ),
    ("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)", "57014", "canceling statement due to user request"),
    ("VACUUM plants", "25001", "VACUUM cannot run inside a transaction block"),
    ("ALTER TABLE plants ADD name text", "42701", 'column "name" of relation "plants" already exists'),
    (CHECK + CHECK, "42710", 'constraint "it" for relation "plants" already exists'),
    (LIGHT + LIGHT, "42710", 'type "light" already exists'),
    (
        "INSERT INTO plants (id) VALUES ('mint')",
        "23502",
        'null value in column "name" of relation "plants" violates not-null constraint',
    ),
    (
        "CREATE UNIQUE INDEX it ON plants (name); INSERT INTO plants (id, name) VALUES ('a', 'Mint'), ('b', 'Mint')",
        "23505",
        'duplicate key value violates unique constraint "it"',
    ),
]


async def error_of(url: str, *steps: str) -> asyncpg.PostgresError:
    """What PostgreSQL says of the last of some steps; all of them are undone."""
    conn = await asyncpg.connect(url)
    transaction = conn.transaction()
    await transaction.start()
    try:
        for step in steps[:-1]:
            await conn.execute(step)
        with pytest.raises(asyncpg.PostgresError) as caught:
            await conn.execute(steps[-1])
    finally:
        await transaction.rollback()
        await conn.close()
    return caught.value


@pytest.mark.parametrize(("sql", "sqlstate", "message"), ERRORS, ids=[message for *_, message in ERRORS])
async def test_an_error_that_a_guide_names(migrated_url: str, sql: str, sqlstate: str, message: str) -> None:
    error = await error_of(migrated_url, sql)
    assert (error.sqlstate, error.args[0]) == (sqlstate, message)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1; VACUUM plants", "VACUUM cannot run inside a transaction block"),
        (
            "DO $$ BEGIN CREATE INDEX CONCURRENTLY it ON plants (name); END $$",
            "CREATE INDEX CONCURRENTLY cannot be executed from a function",
        ),
    ],
)
async def test_a_transaction_that_nobody_began(migrated_url: str, sql: str, message: str) -> None:
    conn = await asyncpg.connect(migrated_url)
    with pytest.raises(asyncpg.ActiveSQLTransactionError, match=f"^{message}$"):
        await conn.execute(sql)
    await conn.execute("VACUUM plants")
    await conn.close()


async def test_a_new_enum_value_is_not_used_before_the_commit(migrated_url: str) -> None:
    conn = await asyncpg.connect(migrated_url)
    await conn.execute(LIGHT)
    await conn.close()
    error = await error_of(migrated_url, "ALTER TYPE light ADD VALUE 'sun'", "SELECT 'sun'::light")
    assert error.sqlstate == "55P04"
    assert str(error).startswith('unsafe use of new value "sun" of enum type light')
