"""The supervisor as a program: ``python -m src.db.server CONTROL RUN AROUND DESCRIPTOR DESCRIPTOR DESCRIPTOR``."""

import sys
from pathlib import Path

from .supervisor import supervise

supervise(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), map(int, sys.argv[4:]))
