"""The commands ``python -m src.db COMMAND``, each a module, and what they share."""
