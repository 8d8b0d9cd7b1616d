"""``python -m src.db COMMAND``: see ``src.db.command``."""

import sys

from src.db.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
