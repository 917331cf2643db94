"""A person's work on a study: verdicts, nodules added, outlines corrected; each is recorded and can be undone."""

from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from LungCADLib import guidelines
from LungCADLib.errors import InputError
from LungCADLib.malignancy import raters
from LungCADLib.masks import BoxMask, LungLabel, Lungs
from LungCADLib.nodules import impression, measure_nodule, nodule_score, outliner
from LungCADLib.nodules.seed import candidate_at
from LungCADLib.pipeline import judge
from LungCADLib.scan import Scan
from LungCADLib.segments import outlines
from LungCADLib.study import Action, Change, Exam, Nodule, Study, Xyz


@dataclass(frozen=True)
class _Before:
    nodules: list[Nodule]
    outlines: dict[str, BoxMask]
    exam: Exam
    nodule: str


class Review:
    """Changes of one study by one person.

    Every change re-assesses the exam from the nodules that are not rejected, and adds a `Change` to the study.

    Parameters
    ----------
    study
        With its masks; changed in place.
    who
        The person's name, as it will stand in the study.
    """

    def __init__(self, study: Study, who: str) -> None:
        self.study, self.who = study, who
        self._before: list[_Before] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a change of this person, in this session, to undo."""
        return bool(self._before)

    def nodule(self, id_: str) -> Nodule:
        """The nodule of a lesion ID."""
        return next(nodule for nodule in self.study.nodules if nodule.id == id_)

    def accept(self, id_: str) -> None:
        """Say that this is a nodule."""
        self._keep(id_)
        self._replace(id_, replace(self.nodule(id_), status="accepted"))
        self._done(id_, "accepted")

    def reject(self, id_: str) -> None:
        """Say that this is none; it stays in the study and no longer counts."""
        self._keep(id_)
        self._replace(id_, replace(self.nodule(id_), status="rejected"))
        self._done(id_, "rejected")

    def add(self, scan: Scan, center_lps_mm: Xyz) -> str:
        """Outline and measure the nodule at a position.

        Returns
        -------
        Its lesion ID.

        Raises
        ------
        InputError
            If the position is outside the scan, on a nodule that is already there, or nothing can be outlined.
        """
        index = scan.geometry.to_index(center_lps_mm)
        if (index < -0.5).any() or (index > np.array(scan.hu.shape) - 0.5).any():
            raise InputError("The point lies outside the CT; place it on the nodule.")
        known = self._outlined_at(index)
        if known is not None:
            raise InputError(f"The point lies in {known}, which is in the table already.")
        lungs = self._lungs()
        candidate = candidate_at(scan, center_lps_mm)
        outline = outliner(self.study.provenance.settings.outliner)(scan, lungs.region, candidate)
        if not outline.mask.any():
            raise InputError("Nothing could be outlined at this point; place it in the middle of the nodule.")
        score = float(nodule_score().predict(impression(scan, lungs.region, outline, candidate)[None])[0])
        numbers = [int(nodule.id[1:]) for nodule in self.study.nodules if nodule.id[1:].isdecimal()]
        id_ = f"N{max(numbers, default=0) + 1}"
        nodule = measure_nodule(scan, lungs, outline, id=id_, score=score)
        nodule.status = "added"
        self._keep(id_)
        outlines(self.study).nodules[id_] = outline
        self.study.nodules.append(nodule)
        self._rate(nodule, scan)
        self._done(id_, "added")
        return id_

    def outline(self, scan: Scan, id_: str, outline: BoxMask | None) -> None:
        """Measure a nodule again in an outline that a person drew.

        Raises
        ------
        InputError
            If nothing is left of the outline.
        """
        if outline is None or not outline.mask.any():
            raise InputError(f"The outline of {id_} is empty; draw it, or reject the nodule.")
        old = self.nodule(id_)
        nodule = measure_nodule(scan, self._lungs(), outline, id=id_, score=old.score)
        nodule.status = old.status
        self._keep(id_)
        outlines(self.study).nodules[id_] = outline
        self._replace(id_, nodule)
        self._rate(nodule, scan)
        self._done(id_, "outlined")

    def undo(self) -> str:
        """Take the last change back, and record that; gives the lesion ID it was about."""
        before = self._before.pop()
        self.study.nodules[:] = before.nodules
        outlines(self.study).nodules.clear()
        outlines(self.study).nodules.update(before.outlines)
        self.study.exam = before.exam
        self._record(before.nodule, "undone")
        return before.nodule

    def _lungs(self) -> Lungs:
        labels = outlines(self.study).lungs
        region = (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT)
        return Lungs(labels, region if region.any() else np.ones_like(region), self.study.lungs)

    def _outlined_at(self, index: np.ndarray) -> str | None:
        voxel = np.round(index).astype(int)
        for id_, mask in outlines(self.study).nodules.items():
            inner = voxel - mask.start
            if (inner >= 0).all() and (inner < mask.mask.shape).all() and mask.mask[tuple(inner)]:
                return id_
        return None

    def _rate(self, nodule: Nodule, scan: Scan) -> None:
        judge(nodule, scan, outlines(self.study).nodules[nodule.id], raters(self.study.provenance.settings.malignancy))

    def _replace(self, id_: str, nodule: Nodule) -> None:
        self.study.nodules[:] = [nodule if old.id == id_ else old for old in self.study.nodules]

    def _keep(self, id_: str) -> None:
        study = self.study
        self._before.append(_Before(deepcopy(study.nodules), dict(outlines(study).nodules), deepcopy(study.exam), id_))

    def _done(self, id_: str, action: Action) -> None:
        verdict = self.study.lungs.verdict
        self.study.exam = guidelines.assess(
            self.study.counted,
            self.study.provenance.settings.patient,
            lungs_evaluable=verdict.complete and verdict.status != "failed",
        )
        self._record(id_, action)

    def _record(self, id_: str, action: Action) -> None:
        self.study.changes.append(Change(self.who, datetime.now(UTC).isoformat(timespec="seconds"), id_, action))
