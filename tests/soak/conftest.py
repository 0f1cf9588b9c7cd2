"""The programs of this folder are run as files: it is where they import from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
