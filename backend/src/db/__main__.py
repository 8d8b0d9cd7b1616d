"""``python -m src.db COMMAND``: see ``src.db.command``."""

import sys

from src.db.command import main

sys.exit(main(sys.argv[1:]))
