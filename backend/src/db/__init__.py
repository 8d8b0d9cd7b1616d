"""The database: connections, the migration runner and the PostgreSQL that development uses."""
