"""The lungs as TotalSegmentator outlines them (Wasserthal et al. 2023, doi 10.1148/ryai.230024).

By the source of TotalSegmentator 2.18.0 (github.com/wasserth/TotalSegmentator): its command line in another process,
task `total` at 3 mm, labels of `map_to_binary.py`. It would download missing weights and send statistics of its use;
here its process has no way to the network.
"""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from LungCADLib.compute import choose_device
from LungCADLib.errors import InputError
from LungCADLib.lungs.answer import network_answer
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import Scan

WEIGHTS = "Dataset297_TotalSegmentator_total_3mm_1559subj"
PARTS = {
    LungLabel.LEFT: (10, 11),  # lung_upper_lobe_left, lung_lower_lobe_left
    LungLabel.RIGHT: (12, 13, 14),  # lung_upper_lobe_right, lung_middle_lobe_right, lung_lower_lobe_right
    LungLabel.AIRWAY: (16,),  # trachea
}
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there (port 9 is "discard", RFC 863): whatever asks the network for something is refused."""
LOOK_S = 0.2


class TotalSegmentatorEngine:
    """The package TotalSegmentator: pip install TotalSegmentator, then totalseg_download_weights -t total_fast."""

    def __call__(self, scan: Scan, progress: Progress) -> Lungs:
        """The lungs of a scan."""
        if find_spec("totalsegmentator") is None:
            raise InputError(
                "The lung engine totalsegmentator needs the package TotalSegmentator; pip install TotalSegmentator."
            )
        if not (weights_folder() / WEIGHTS).is_dir():
            raise InputError(
                f"TotalSegmentator's weights are not in {weights_folder()}; "
                "run `totalseg_download_weights -t total_fast`."
            )
        import SimpleITK as sitk

        with TemporaryDirectory(prefix="lungcad-") as folder:
            given, found = Path(folder, "ct.nii.gz"), Path(folder, "parts.nii.gz")
            sitk.WriteImage(scan.geometry.image(scan.hu), str(given))
            progress.update(0.05)
            _run(given, found, progress)
            try:
                image = sitk.ReadImage(str(found))
            except RuntimeError:
                raise InputError("TotalSegmentator wrote no result; run it by hand to see why.") from None
            # The file's header is rounded to float32.
            image = sitk.Resample(image, scan.geometry.image(scan.hu), sitk.Transform(), sitk.sitkNearestNeighbor)
            parts = sitk.GetArrayFromImage(image)
        labels = np.zeros(scan.hu.shape, np.uint8)
        for label, numbers in PARTS.items():
            labels[np.isin(parts, numbers)] = label
        progress.update(0.9)
        return network_answer("totalsegmentator", scan, labels)


segment = TotalSegmentatorEngine()


def weights_folder() -> Path:
    """Where TotalSegmentator keeps its weights, as `totalsegmentator/config.py` decides it."""
    if "TOTALSEG_WEIGHTS_PATH" in os.environ:
        return Path(os.environ["TOTALSEG_WEIGHTS_PATH"])
    home = Path(os.environ.get("TOTALSEG_HOME_DIR", Path.home() / ".totalsegmentator"))
    return home / "nnunet" / "results"


def _run(given: Path, found: Path, progress: Progress) -> None:
    """Run TotalSegmentator on a file and wait for it.

    Raises
    ------
    InputError
        If it fails; the message has its last words.
    Cancelled
        If `progress` says so; no process of it is left.
    """
    # Its documentation says that Apple's GPUs do not work.
    device = "gpu" if choose_device("auto") == "cuda" else "cpu"
    command = [sys.executable, "-m", "totalsegmentator.bin.TotalSegmentator", "-i", str(given), "-o", str(found)]
    proxies = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), NOWHERE
    )
    with (
        Path(given.parent, "log.txt").open("w+b") as log,
        subprocess.Popen(
            [*command, "--ml", "--fast", "--quiet", "--device", device],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **proxies, "NO_PROXY": "", "no_proxy": ""},
            start_new_session=True,
        ) as process,
    ):
        try:
            while process.poll() is None:
                progress.update(0.05)
                try:
                    process.wait(LOOK_S)
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            _end(process)
            raise
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()
    if process.returncode:
        raise InputError(f"TotalSegmentator failed: {said[-1] if said else f'exit code {process.returncode}'}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process with those that it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
