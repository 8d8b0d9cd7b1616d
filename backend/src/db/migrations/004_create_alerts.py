"""Alerts: each time that a reading crossed one of its plant's thresholds."""


async def up(conn):
    await conn.execute("""
        CREATE TABLE IF NOT EXISTS alerts (
            id SERIAL PRIMARY KEY,
            plant_id TEXT REFERENCES plants (id) ON DELETE CASCADE,
            device_id TEXT REFERENCES devices (id) ON DELETE CASCADE,
            metric TEXT NOT NULL,
            value DOUBLE PRECISION NOT NULL,
            threshold DOUBLE PRECISION NOT NULL,
            direction TEXT NOT NULL,
            sent_at TIMESTAMPTZ DEFAULT NOW()
        )
    """)
    await conn.execute("CREATE INDEX IF NOT EXISTS idx_alerts_plant ON alerts (plant_id, sent_at DESC)")
