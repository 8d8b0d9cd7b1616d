"""The PlantOps backend: ``backend/`` is the import root, ``src`` the package."""
