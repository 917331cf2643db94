"""`python -m LungCADLib.jobs`: the worker."""

import sys

from LungCADLib.jobs.worker import main

if __name__ == "__main__":
    sys.exit(main())
