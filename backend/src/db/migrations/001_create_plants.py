"""Plants: what is grown, and the thresholds that its sensors are watched against."""


async def up(conn):
    await conn.execute("""
        CREATE TABLE IF NOT EXISTS plants (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            species TEXT,
            thresholds JSONB,
            created_at TIMESTAMPTZ DEFAULT NOW()
        )
    """)
