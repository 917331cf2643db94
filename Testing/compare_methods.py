"""Methods for tests of the comparison: what each was shown is written down, so that a test can check it."""

from dataclasses import dataclass, field

import numpy as np

from LungCADLib.training.methods import METHODS


@dataclass
class Recorded:
    """A method whose answers a function gives; `fitted` and `asked` hold the patients of every call."""

    key: str
    answer: object
    needs_outlines: bool = False
    fitted: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    at_fit: object = None
    member: object = None

    @property
    def title(self):
        return f"Method {self.key}"

    def fit(self, cases, run):
        self.fitted.append(set(cases.patient.tolist()))
        if self.at_fit:
            self.at_fit(len(self.fitted))
        run.progress(0.5)
        print("a method that talks")  # noqa: T201
        return _Fitted(self, self.fitted[-1])

    def packaged(self, fold):
        return None if self.member is None else _Fitted(self, f"fold {fold}")


@dataclass
class _Fitted:
    method: Recorded
    learned: object

    def predict(self, cases):
        self.method.asked.append((self.learned, set(cases.patient.tolist())))
        return self.method.answer(cases)


def random_answers(cases):
    """What a coin says of each nodule, always the same of the same nodule."""
    return np.array([np.random.default_rng([1, abs(int(hu.astype(np.int64).sum()))]).random() for hu in cases.hu])


def by_size(cases):
    """Between 0.1 and 0.9, by the diameter."""
    return np.clip(cases.diameter_mm / 20, 0.1, 0.9)


def register(monkeypatch, **answers):
    """Put methods of these keys beside the ruler and the reader model; gives them by key."""
    import compare_methods

    made = {key: Recorded(key, answer) for key, answer in answers.items()}
    for key, one in made.items():
        monkeypatch.setattr(compare_methods, f"METHOD_{key}", one, raising=False)
        monkeypatch.setitem(METHODS, key, f"compare_methods:METHOD_{key}")
    return made
