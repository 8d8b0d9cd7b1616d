"""Care plans: the current one of each plant."""


async def up(conn):
    await conn.execute("""
        CREATE TABLE IF NOT EXISTS care_plans (
            id SERIAL PRIMARY KEY,
            plant_id TEXT UNIQUE REFERENCES plants (id) ON DELETE CASCADE,
            plan_data JSONB NOT NULL,
            generated_at TIMESTAMPTZ DEFAULT NOW()
        )
    """)
