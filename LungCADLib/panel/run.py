"""One analysis of a volume node: the job in another process, and its results into the scene as they come."""

import shutil
import time
from collections.abc import Callable, Generator
from importlib import import_module
from typing import Any

import slicer
from slicer.i18n import tr as _

from LungCADLib.errors import InputError
from LungCADLib.jobs import Failed, Finished, Found, Job, Progressed, Question, Volume, prepare, reading_found
from LungCADLib.scene import earlier, update, views, volumes
from LungCADLib.scene.hierarchy import place_under_study
from LungCADLib.scene.nodes import StudyNodes, adding_study
from LungCADLib.settings import Settings
from LungCADLib.study import Study

STEP_S = 0.03
"""How long one tick goes on with small pieces of work."""

LOADED_EARLY = (
    "pydantic_core", "pydantic.fields", "numpy.f2py", "scipy.constants", "scipy.fft", "scipy.linalg", "scipy.ndimage",
    "scipy.spatial", "SimpleITK", "LungCADLib.lungs", "LungCADLib.detection", "LungCADLib.malignancy",
    "LungCADLib.pipeline", "LungCADLib.panel.session",
)  # fmt: skip
"""What results need, in pieces that load in less than 100 ms each: one per tick while the job looks for them."""

Steps = Generator[None, None, None]

StartJob = Callable[[Volume | Question, Settings], Job]


def start_job(given: Volume | Question, settings: Settings) -> Job:
    """A job in Slicer's own Python where there is one, in this one elsewhere."""
    python = shutil.which("PythonSlicer")
    return Job(
        given,
        settings,
        scene=False,
        python=python,
        environment=slicer.util.startupEnvironment() if python else None,
    )


class Run:
    """One analysis; call `tick` from a timer until `running` is False.

    Parameters
    ----------
    volume
        The CT's node. Under a transform, a hardened copy of it is analyzed and stays in the scene if the run succeeds.
    settings
        How to analyze it.
    start
        Starts the job; None takes `start_job`.

    Attributes
    ----------
    progress
        The last that was heard of the job.
    failure
        Why there is no result, once the run has ended without one.
    study, nodes
        What is in the scene so far; `complete` once the nodules are there.
    kept
        How many earlier results of this CT stay in the scene, because a person worked on them.

    Raises
    ------
    InputError
        If the volume cannot be a chest CT in HU; the scene is untouched then.
    """

    def __init__(self, volume: Any, settings: Settings, start: StartJob | None = None) -> None:
        volumes.check_volume(volume)
        self._given, self.volume = volume, volumes.hardened(volume)
        try:
            values, geometry = volumes.values_of(self.volume), volumes.geometry_of(self.volume)
            header = volumes.header_of(volume)
        except InputError:
            self._leave_nothing()
            raise
        self.progress: Progressed | None = None
        self.failure: Failed | None = None
        self.study: Study | None = None
        self.nodes: StudyNodes | None = None
        self.complete, self.kept = False, 0
        self._views_back: Callable[[], None] = lambda: None
        self._job = (start or start_job)(Volume(values, geometry, header), settings)
        self._job_ended = self._given_up = self._over = False
        self._steps: list[Steps] = [self._load()]

    @property
    def running(self) -> bool:
        """Whether `tick` has anything left to do."""
        return not self._over

    @property
    def log(self) -> str:
        """What the other process said beside its progress."""
        return self._job.log

    def cancel(self) -> None:
        """Stop; the run ends within two seconds and leaves the scene as it was."""
        self._given_up = True
        self._job.cancel()

    def close(self) -> None:
        """Stop at once and wait for the end: the application goes, or the module is reloaded."""
        self._drop_steps()
        self._job.close()
        self._over = True

    def tick(self) -> bool:
        """Hear the job, and do one small piece of bringing its results into the scene.

        Returns
        -------
        Whether there is something new to show.
        """
        if not self._given_up and not self._volume_there():
            self.cancel()
            self.failure = Failed("input", _("The CT was removed from the scene, so the analysis was stopped."))
        events = self._job.poll() if not self._job_ended else []
        for event in events:
            match event:
                case Progressed():
                    self.progress = event
                case Found() if not self._given_up:
                    # At once: what was found lies in the job's folder, which a failure removes.
                    self._steps.append(self._bring(event))
                case Failed():
                    self._job_ended = True
                    self.failure = self.failure or event
                case Finished():
                    self._job_ended = True
        if self._given_up:
            self._drop_steps()
        if self._steps:
            end = time.monotonic() + STEP_S
            while self._steps and time.monotonic() < end:
                if next(self._steps[0], self) is self:
                    self._steps.pop(0)
            return True
        if self._job_ended:
            self._end()
        return bool(events)

    def _load(self) -> Steps:
        """Load what the results will need, so that their coming does not hold the window."""
        for name in LOADED_EARLY:
            import_module(name)
            yield
        prepare()
        yield

    def _bring(self, event: Found) -> Steps:
        """Read one part of the result and put it into the scene, a piece per tick."""
        pieces = []
        try:
            for piece in reading_found(event.folder):
                pieces.append(piece)
                yield
        except OSError:
            return  # The job failed in the meantime; its message follows.
        study = pieces[-1]
        assert study is not None
        if self.nodes is None:
            scene = self.volume.GetScene()
            self.nodes = yield from adding_study(scene, study, None, self.volume, place=False)
            yield
            self._views_back = views.show_volume(self.volume)
        elif update.all_there(self.nodes):
            update.update_study(self.nodes, study)
        self.study, self.complete = study, event.what == "nodules"
        yield

    def _drop_steps(self) -> None:
        for step in self._steps:
            step.close()
        self._steps.clear()

    def _end(self) -> None:
        """Leave the scene in order: with the results under the CT's study, or as it was."""
        self._over = True
        self._job.close()
        nodes = self.nodes
        if nodes is not None and self.study and self.complete and not self._given_up and update.all_there(nodes):
            made = [nodes.segmentation, nodes.table, nodes.centers, nodes.text]
            place_under_study(nodes.volume.GetScene(), nodes.volume, made, self.study.scan.header)
            self.kept = earlier.give_way(nodes)
            return
        if nodes is not None:
            update.remove_study(nodes)
            self._views_back()
        self.nodes = self.study = None
        self._leave_nothing()

    def _leave_nothing(self) -> None:
        if self.volume is not self._given and self.volume.GetScene() is not None:
            self.volume.GetScene().RemoveNode(self.volume)

    def _volume_there(self) -> bool:
        return self._given.GetScene() is not None and self.volume.GetScene() is not None
