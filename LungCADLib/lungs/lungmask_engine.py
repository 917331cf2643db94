"""The lungs as the package lungmask outlines them (Hofmanninger et al. 2020, doi 10.1186/s41747-020-00173-2).

By the source of lungmask 0.2.20 (github.com/JoHof/lungmask, `mask.py`): network R231, label 1 right and 2 left. Given a
path it loads that file; given none it would download one, so it is always given one.
"""

import logging
from importlib.util import find_spec

import numpy as np

from LungCADLib.compute import choose_device
from LungCADLib.errors import InputError
from LungCADLib.lungs.answer import network_answer
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan
from LungCADLib.weights import bundle_folder, entry

WEIGHTS = "lungmask_r231"
SLICES_AT_ONCE = 8
RIGHT, LEFT = 1, 2


class LungmaskEngine:
    """R231 of the package lungmask: pip install lungmask, then lungcad models download lungmask_r231."""

    def __call__(self, scan: Scan, progress: Progress) -> Lungs:
        """The lungs of a scan."""
        if find_spec("lungmask") is None:
            raise InputError("The lung engine lungmask needs the package lungmask; pip install lungmask.")
        path = bundle_folder(WEIGHTS) / entry(WEIGHTS).file
        if not path.is_file():
            raise InputError(f"{path} is missing; run `lungcad models download {WEIGHTS}`.")
        from lungmask import LMInferer

        logging.getLogger("lungmask").setLevel(logging.WARNING)  # what it does would go to standard output
        inferer = LMInferer(
            modelpath=str(path),
            force_cpu=choose_device("auto") == "cpu",
            batch_size=SLICES_AT_ONCE,
            tqdm_disable=True,
        )
        batches, done = -(-len(scan.hu) // SLICES_AT_ONCE), 0

        def before(*_: object) -> None:
            nonlocal done
            progress.update(0.9 * min(done / batches, 1.0))
            done += 1

        inferer.model.register_forward_pre_hook(before)
        found = inferer.apply(scan.geometry.image(scan.hu))
        labels = np.zeros(scan.hu.shape, np.uint8)
        labels[found == RIGHT] = LungLabel.RIGHT
        labels[found == LEFT] = LungLabel.LEFT
        progress.update(0.9)
        return network_answer("lungmask", scan, labels)


segment = LungmaskEngine()
