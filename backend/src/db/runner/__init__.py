"""The parts of the migration runner; ``migration_runner`` puts them together."""
