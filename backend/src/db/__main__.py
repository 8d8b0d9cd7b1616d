"""``python -m src.db COMMAND``: see ``src.db.commands.command_line``."""

import sys

from src.db.commands.command_line import main

sys.exit(main(sys.argv[1:]))
