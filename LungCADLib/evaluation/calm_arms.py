"""What CALM and the paper's baselines say of patients they have not seen, in both modes, and with generated pictures.

In `malignancy` mode the packaged networks answer, each of the patients it has not learned from; in `nodule` mode five
members are trained, or found in the folder of runs. The same fold with and without generated pictures is one split.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.evaluation.calm_figures import Judged
from LungCADLib.evaluation.classification import SIZE_BANDS_MM
from LungCADLib.training.folds import FOLDS
from LungCADLib.training.lung_patches import SOURCES, LungPatches, middles

if TYPE_CHECKING:
    from LungCADLib.evaluation.calm_figures import Scores
    from LungCADLib.training.calm_fit import CalmSettings, Prepared
    from LungCADLib.training.calm_loop import Learned
    from LungCADLib.training.calm_material import Material
    from LungCADLib.training.methods.cases import Cases

BASELINES = ("nn", "lr", "svm", "ae", "cnn")
CALM = "calm"

CENTER_PIXELS, RING_PIXELS = 4, (12, 18)
FRAME_PIXELS = 6
"""Of the patches' trivial signs: radius of the middle, radii of the ring around it, width of the frame."""

Follow = Callable[[str], None]
Said = dict[str, "Scores"]


@dataclass(frozen=True, eq=False)
class Arm:
    """What was learned and said in one fold: probabilities (n,) by name (`CALM` and `BASELINES`), and how."""

    said: Said
    learned: "Learned"
    prepared: "Prepared"


@dataclass(eq=False)
class Answers:
    """Probabilities (n,) by name, and the arm of each fold."""

    said: Said
    arms: dict[int, Arm] = field(default_factory=dict)


def malignancy(cases: "Cases", folds: NDArray[np.int64], runs: Path, seed: int, device: str, follow: Follow) -> Judged:
    """The cases of three or more readers, judged by networks that have not seen their patients.

    AE, of which no network comes along, is trained.

    Parameters
    ----------
    cases
        Every nodule with a label; those of fewer readers are learned from only.
    folds
        (n,) of each.
    """
    from LungCADLib.training.methods import Run, calm
    from LungCADLib.training.reader_fit import LEAST_READERS

    asked = cases.readers >= LEAST_READERS
    methods: dict[str, calm.CalmMethod | calm.Baseline] = {
        CALM: calm.METHOD,
        **{name: calm.Baseline(name) for name in BASELINES},
    }
    said = {name: np.zeros(len(cases)) for name in methods}
    for k in range(FOLDS):
        for name, method in methods.items():
            follow(f"{name}, fold {k}")
            fitted = method.packaged(k) or method.fit(
                cases.only(folds != k), Run(runs / "malignancy" / f"fold-{k}" / name, seed + k, device)
            )
            rows = asked & (folds == k)
            said[name][rows] = fitted.predict(cases.only(rows))
    cases = cases.only(asked)
    said = {name: of[asked] for name, of in said.items()}
    bands = {
        f"{low:.0f}_{high:.0f}_mm": (cases.diameter_mm >= low) & (cases.diameter_mm < high)
        for low, high in SIZE_BANDS_MM
    }
    calms = said.pop(CALM)
    return Judged(cases.suspicious, calms, said, {"ruler": cases.diameter_mm}, cases.patient, bands)


def nodule(
    patches: LungPatches, material: "Material", settings: "CalmSettings", runs: Path, seed: int, device: str,
    follow: Follow,
) -> tuple[Judged, Answers]:  # fmt: skip
    """Every patch, judged by networks that have not seen its patient; there is no ruler for what is no nodule.

    `material` are the patches as they are learned from.
    """
    answers = Answers({name: np.zeros(len(patches)) for name in (CALM, *BASELINES)})
    for k in range(FOLDS):
        rows = patches.fold == k
        arm = one_fold(material, rows, settings, runs / "nodule" / f"fold-{k}", seed + k, device, follow)
        answers.arms[k] = arm
        for name, of in arm.said.items():
            answers.said[name][rows] = of
    others = {name: answers.said[name] for name in BASELINES}
    judged = Judged(
        patches.nodule, answers.said[CALM], others | {"frame": frame(patches)}, trivial(patches), patches.patient,
        parts(patches),
    )  # fmt: skip
    return judged, answers


def one_fold(
    material: "Material",
    tested: NDArray[np.bool_],
    settings: "CalmSettings",
    folder: Path,
    seed: int,
    device: str,
    follow: Follow,
    enlarge: "Callable[[Material], Material]" = lambda material: material,
) -> Arm:
    """Train everything without the rows tested, and ask it about them."""
    from LungCADLib.training.calm_baselines import alone, on_features, probabilities
    from LungCADLib.training.calm_fit import fit_member

    follow(f"CALM in {folder}")
    network, learned, prepared = fit_member(
        enlarge(material.only(~tested)), settings, folder, seed, device,
        lambda share: follow(f"CALM in {folder}, {share:.0%}"),
    )  # fmt: skip
    seen = material.only(tested).still()
    said = {CALM: probabilities([network], seen, device)}
    for name in BASELINES:
        follow(f"{name} in {folder}")
        one = (
            on_features(name, prepared, seed)
            if name in ("nn", "lr", "svm")
            else alone(name, prepared.learned, prepared.apart, settings.cae.padding, folder / name, seed, device)
        )
        said[name] = probabilities([one], seen, device)
    return Arm(said, learned, prepared)


def trivial(patches: LungPatches) -> Mapping[str, NDArray[np.float64]]:
    """Signs anyone could read off a patch (n,): HU of its middle, and how far that stands out from a ring around it."""
    hu = middles(patches.hu).astype(np.float32)
    y, x = np.indices(hu.shape[1:]) - hu.shape[1] // 2
    radius = np.hypot(y, x)
    center = hu[:, radius <= CENTER_PIXELS].mean(axis=1).astype(np.float64)
    ring = hu[:, (radius >= RING_PIXELS[0]) & (radius <= RING_PIXELS[1])].mean(axis=1)
    return {"middle_hu": center, "contrast": center - ring}


def frame(patches: LungPatches) -> NDArray[np.float64]:
    """Probability (n,) from the frame of a patch alone, where no nodule is: the more it tells, the less the rest means.

    A logistic regression, fitted without the patch's fold, on mean, spread and roughness of the frame and their
    squares.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    hu = middles(patches.hu).astype(np.float32)
    inner = slice(FRAME_PIXELS, -FRAME_PIXELS)
    edge = np.ones(hu.shape[1:], bool)
    edge[inner, inner] = False
    steps = np.abs(np.diff(hu, axis=2))[:, edge[:, 1:] & edge[:, :-1]]
    signs = np.column_stack([hu[:, edge].mean(axis=1), hu[:, edge].std(axis=1), np.median(steps, axis=1)])
    out = np.zeros(len(patches))
    for k in np.unique(patches.fold):
        rows = patches.fold == k
        model = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), LogisticRegression())
        out[rows] = model.fit(signs[~rows], patches.nodule[~rows]).predict_proba(signs[rows])[:, 1]
    return out


def parts(patches: LungPatches) -> Mapping[str, NDArray[np.bool_]]:
    """Kinds of negatives: against candidates, against anywhere in the lung, and crops, whose CTs give both kinds."""
    slices, crops, lesions, candidates, anywhere = (patches.source == i for i in range(len(SOURCES)))
    return {
        "crops": crops,
        "candidates": slices | lesions | candidates,
        "anywhere": slices | lesions | anywhere,
    }
