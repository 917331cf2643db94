"""An analysis in another process, which may crash, be killed or run out of memory without harm to who asked for it.

`python -m LungCADLib.jobs REQUEST.json` is the worker; `Job` starts it, follows it and ends it. Both and `lungcad
analyze` go through `jobs.run.run`, so there is one behavior. A worker also answers where a network looked (`Question`).
"""

from LungCADLib.jobs.client import Job
from LungCADLib.jobs.events import Event, Failed, Finished, Found, Progressed
from LungCADLib.jobs.found import prepare, read_found, reading_found
from LungCADLib.jobs.question import Question, read_explanation
from LungCADLib.jobs.request import Request
from LungCADLib.jobs.volume import Volume

__all__ = [
    "Event",
    "Failed",
    "Finished",
    "Found",
    "Job",
    "Progressed",
    "Question",
    "Request",
    "Volume",
    "prepare",
    "read_explanation",
    "read_found",
    "reading_found",
]
