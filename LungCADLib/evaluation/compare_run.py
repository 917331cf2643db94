"""A whole comparison: which pieces of work it needs, what came of them, and the ensemble that is made of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.classification import Figure, Resamples, auc
from LungCADLib.evaluation.compare_figures import RULER, Comparison, Figures
from LungCADLib.evaluation.compare_sets import SLICES, Asked, Design
from LungCADLib.evaluation.compare_work import Answers, Piece
from LungCADLib.evaluation.compare_workers import work_through
from LungCADLib.training.appearance_fusion import NO_FOLD
from LungCADLib.training.methods import METHODS, ensemble, method
from LungCADLib.training.methods.cases import Cases

ALL = "all"
"""The part of a piece that learns from every nodule."""


@dataclass(frozen=True)
class How:
    """How a comparison is run, as the command line says it.

    `methods` are keys of `METHODS`, or the ensemble's; `rounds` counts the draws of patients behind an interval.
    """

    methods: tuple[str, ...]
    runs: Path
    seed: int = 0
    device: str = "cpu"
    scale: float = 1.0
    workers: int = 1
    rounds: int = 2000


@dataclass(frozen=True)
class Effort:
    """What a method costs: seconds to train it once, milliseconds to judge a nodule; and whether it was loaded instead.

    `loaded` is True where any of its answers comes from bundled weights; the seconds are those of the fits made here.
    """

    train_s: float
    predict_ms: float
    loaded: bool


@dataclass(frozen=True, eq=False)
class Result:
    """What was said of one set, by method, and the figures made of it.

    `one_reader` is the AUC of one reader's rating for what the other three think, None where nobody knows.
    """

    asked: Asked
    comparison: Comparison
    figures: Mapping[str, Figures]
    one_reader: Figure | None


@dataclass(eq=False)
class Compared:
    """What came of a comparison.

    `results` by set; `effort` and `errors` (one sentence) by method; `left_out` says which methods could not judge a
    set, since it has no outlines.
    """

    design: Design
    how: How
    results: dict[str, Result] = field(default_factory=dict)
    effort: dict[str, Effort] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def title_of(key: str) -> str:
    """What a table calls a method."""
    return ensemble.TITLE if key == ensemble.KEY else method(key).title


def needed(methods: Sequence[str]) -> list[str]:
    """The methods to be worked out for these, in the order of `METHODS`: also the ruler, and the ensemble's members."""
    wanted = {RULER, *methods} - {ensemble.KEY}
    if ensemble.KEY in methods:
        wanted |= ensemble.MEMBERS.keys()
    return [key for key in METHODS if key in wanted]


def pieces(design: Design, how: How) -> list[Piece]:
    """The work to be done, in order."""
    found = []
    for key in needed(how.methods):
        if design.crossed:
            found += [_fold(design, how, key, k, design.asked) for k in _folds(design)]
            continue
        asked = {one.name: one.cases for one in design.asked}
        found.append(_piece(how, key, ALL, design.learn, asked, None, len(_folds(design))))
        if ensemble.KEY in how.methods and key in ensemble.MEMBERS:
            found += [_fold(design, how, key, k, (design.own,)) for k in _folds(design)]
    return found


def _folds(design: Design) -> list[int]:
    return sorted(set(design.fold.tolist()))


def _fold(design: Design, how: How, key: str, k: int, asked: Sequence[Asked]) -> Piece:
    """What a method that has not seen a fold says of that fold's patients, and of those in no fold."""
    mine = {one.name: one.cases.only(_judged(one, k)) for one in asked if _can_judge(key, one)}
    learn = design.learn.only(design.fold != k)
    return _piece(how, key, f"fold-{k}", learn, mine, k if design.packaged else None, k)


def _piece(
    how: How, key: str, part: str, learn: Cases, asked: Mapping[str, Cases], packaged: int | None, number: int
) -> Piece:
    return Piece(key, part, learn, asked, packaged, how.runs, how.seed + number, how.device, how.scale)


def _can_judge(key: str, asked: Asked) -> bool:
    return asked.cases.outlined or not method(key).needs_outlines


def _judged(asked: Asked, k: int) -> NDArray[np.bool_]:
    out: NDArray[np.bool_] = (asked.fold == k) | (asked.fold == NO_FOLD)
    return out


def compare(design: Design, how: How, told: Callable[[Piece, float], None] = lambda piece, share: None) -> Compared:
    """Do all the work, then make the figures.

    Parameters
    ----------
    design
        Who learns from what.
    how
        How.
    told
        Called with a piece and the share of it that is done; 1 when it is.
    """
    compared = Compared(design, how)
    answers: dict[str, list[tuple[Piece, Answers]]] = {key: [] for key in needed(how.methods)}
    for piece, outcome in work_through(
        pieces(design, how), how.workers, lambda one, share: told(one, min(share, 0.99))
    ):
        if isinstance(outcome, str):
            compared.errors[piece.method] = outcome
        else:
            answers[piece.method].append((piece, outcome))
        told(piece, 1.0)
    for key in compared.errors:
        answers.pop(key, None)
    said = {one.name: {k: _gathered(one, a) for k, a in answers.items() if _can_judge(k, one)} for one in design.asked}
    for key, done in answers.items():
        compared.effort[key] = _effort([answer for piece, answer in done if design.crossed or piece.part == ALL])
    if ensemble.KEY in how.methods:
        _add_ensemble(compared, answers, said)
    shown = [key for key in (*METHODS, ensemble.KEY) if key == RULER or key in how.methods]
    for one in design.asked:
        found = {key: said[one.name][key] for key in shown if key in said[one.name]}
        if RULER in found:
            compared.results[one.name] = _result(one, found, how)
        compared.left_out[one.name] = [key for key in shown if key not in found and key not in compared.errors]
    return compared


def _effort(done: Sequence[Answers]) -> Effort:
    trained = [one.train_s for one in done if not one.loaded]
    predict = float(np.mean([one.predict_ms for one in done]))
    return Effort(float(np.mean(trained or [0.0])), predict, any(one.loaded for one in done))


def _gathered(asked: Asked, answers: Sequence[tuple[Piece, Answers]]) -> NDArray[np.float64]:
    """Probability (n,) of a set's nodules: of the fit that may judge each, the mean where several may."""
    total, count = np.zeros(len(asked.cases)), np.zeros(len(asked.cases))
    for piece, answer in answers:
        if asked.name in answer.probabilities:
            everyone = piece.part == ALL
            rows = np.ones(len(total), bool) if everyone else _judged(asked, int(piece.part.removeprefix("fold-")))
            total[rows] += answer.probabilities[asked.name]
            count[rows] += 1
    out: NDArray[np.float64] = total / count
    return out


def _add_ensemble(
    compared: Compared,
    answers: Mapping[str, list[tuple[Piece, Answers]]],
    said: Mapping[str, dict[str, NDArray[np.float64]]],
) -> None:
    """What the combination of the members' opinions says, fitted on the other folds or on the whole training set."""
    missing = [key for key in ensemble.MEMBERS if key not in answers]
    if missing:
        compared.errors[ensemble.KEY] = f"It needs the opinion of {', '.join(missing)}."
        return
    own = compared.design.own
    labels = own.cases.suspicious
    unseen = {key: _gathered(own, [a for a in answers[key] if a[0].part != ALL]) for key in ensemble.MEMBERS}
    if compared.design.crossed:
        out = np.zeros(len(labels))
        for k in _folds(compared.design):
            held = own.fold == k
            model = ensemble.combination({key: of[~held] for key, of in unseen.items()}, labels[~held])
            out[held] = model.suspicion(ensemble.rows(unseen)[held])[0]
        said[SLICES][ensemble.KEY] = out
    else:
        model = ensemble.combination(unseen, labels)
        for of_set in said.values():
            of_set[ensemble.KEY] = model.suspicion(ensemble.rows(of_set))[0]
    predict = sum(compared.effort[key].predict_ms for key in ensemble.MEMBERS)
    every = [answer for key in ensemble.MEMBERS for _, answer in answers[key]]
    compared.effort[ensemble.KEY] = Effort(sum(one.train_s for one in every), predict, any(one.loaded for one in every))


def _result(asked: Asked, said: Mapping[str, NDArray[np.float64]], how: How) -> Result:
    cases = asked.cases
    comparison = Comparison(cases.suspicious, cases.diameter_mm, cases.patient, said, how.rounds, how.seed)
    readers, one_reader = asked.readers, None
    if readers is not None and len(set(readers.suspicious.tolist())) == 2:
        draws = Resamples(readers.patient.tolist(), how.rounds, how.seed)
        one_reader = draws.figure(lambda i: auc(readers.suspicious[i], readers.rating[i]), readers.suspicious)
    return Result(asked, comparison, {key: comparison.figures(key) for key in said}, one_reader)
