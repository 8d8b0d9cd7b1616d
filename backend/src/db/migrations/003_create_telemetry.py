"""Telemetry: the readings of the devices, in a TimescaleDB hypertable where that extension can be had."""


async def up(conn):
    await conn.execute("""
        CREATE TABLE IF NOT EXISTS telemetry (
            time TIMESTAMPTZ NOT NULL,
            device_id TEXT REFERENCES devices (id) ON DELETE CASCADE,
            plant_id TEXT REFERENCES plants (id) ON DELETE SET NULL,
            soil_moisture DOUBLE PRECISION,
            temperature DOUBLE PRECISION,
            humidity DOUBLE PRECISION,
            light_level DOUBLE PRECISION
        )
    """)
    # The catalogue is asked first: an error would end the transaction that this migration runs in.
    if await conn.fetchval("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')"):
        await conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    # The extension may live in a schema that is not on the search path.
    schema = await conn.fetchval("""
        SELECT quote_ident(nspname)
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'timescaledb'
    """)
    if schema is not None:
        await conn.execute(f"SELECT {schema}.create_hypertable('telemetry', 'time', if_not_exists => TRUE)")
    await conn.execute("CREATE INDEX IF NOT EXISTS idx_telemetry_device ON telemetry (device_id, time DESC)")
    await conn.execute("CREATE INDEX IF NOT EXISTS idx_telemetry_plant ON telemetry (plant_id, time DESC)")
