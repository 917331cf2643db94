"""Inside Slicer: an analysis in Slicer's own Python, from the folder the extension is installed in."""

import shutil
import sys
import tempfile
import time
import unittest
from importlib.util import find_spec
from pathlib import Path

NEEDED = ("pydantic", "pydicom", "SimpleITK")
SECONDS = 600


def _slicer_environment():
    """The environment Slicer was started with; None where this runs without the application."""
    try:
        import slicer.util
    except ImportError:
        return None
    return slicer.util.startupEnvironment() if hasattr(slicer, "app") else None


class LungCADJobsTest(unittest.TestCase):
    """The whole road on a phantom through the worker, and Cancel in its middle."""

    def setUp(self):
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            self.skipTest(f"not installed in this Slicer: {', '.join(missing)}")
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)

    def start(self):
        from LungCADLib.jobs import Job, Volume
        from LungCADLib.phantom import small_phantom

        scan = small_phantom(0).scan
        return Job(
            Volume(scan.hu, scan.geometry, scan.header),
            scene=False,
            python=shutil.which("PythonSlicer") or sys.executable,
            environment=_slicer_environment(),
            temporary=Path(self.temporary.name),
        )

    def follow(self, job, until=lambda event: False):
        events, deadline = [], time.monotonic() + SECONDS
        while job.running and not any(map(until, events)):
            self.assertLess(time.monotonic(), deadline, job.log)
            events += job.poll()
            time.sleep(0.05)
        return events

    def test_the_phantom_is_analyzed(self):
        from LungCADLib.jobs import Finished, Found, read_found

        with self.start() as job:
            events = self.follow(job, until=lambda event: isinstance(event, Found) and event.what == "nodules")
            found = [event for event in events if isinstance(event, Found)]
            self.assertEqual([event.what for event in found], ["lungs", "nodules"], job.log)
            study = read_found(found[-1].folder)
            self.assertGreater(len(study.nodules), 3)
            self.assertEqual(set(study.masks.nodules), {nodule.id for nodule in study.nodules})
            self.assertIsInstance(self.follow(job)[-1], Finished, job.log)

    def test_cancel_ends_the_worker(self):
        from LungCADLib.jobs import Failed, Progressed

        with self.start() as job:
            self.follow(job, until=lambda event: isinstance(event, Progressed))
            asked = time.monotonic()
            job.cancel()
            self.assertEqual(self.follow(job)[-1], Failed("cancelled", "Stopped."))
            self.assertLess(time.monotonic() - asked, 2)


if __name__ == "__main__":
    unittest.main()
