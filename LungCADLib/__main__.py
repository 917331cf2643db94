"""`python -m LungCADLib` is `lungcad`."""

import sys

from LungCADLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
