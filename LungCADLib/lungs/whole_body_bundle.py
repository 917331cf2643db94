"""The lungs by MONAI's bundle `wholeBody_ct_segmentation`, which outlines 104 structures, the lobes among them.

By its `configs/inference.json`, version 0.2.5: a SegResNet (Myronenko 2018, arXiv:1810.11654) in windows of 96 voxels,
at 1.5 mm on a GPU and at 3 mm, with weights of its own, on a CPU. Where it blends the scores of all structures, here
the chances of right lung, left lung, airway and everything else are blended: a twenty-fifth of the memory.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.bundles import Bundle, from_ras, to_ras, windows
from LungCADLib.compute import autocast, choose_device
from LungCADLib.errors import InputError
from LungCADLib.lungs.answer import network_answer
from LungCADLib.masks import LungLabel, Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import AIR_HU, Scan
from LungCADLib.weights import bundle_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "wholeBody_ct_segmentation"
TASK = "TotalSegmentator Segmentation"

FINE, COARSE = ("models/model.pt", 1.5), ("models/model_lowres.pt", 3.0)
"""Weights and mm; the expressions in `inference.json` choose between the same two."""

CHANNELS = {
    LungLabel.RIGHT: (15, 16, 17),  # lung_upper_lobe_right, lung_middle_lobe_right, lung_lower_lobe_right
    LungLabel.LEFT: (13, 14),  # lung_upper_lobe_left, lung_lower_lobe_left
    LungLabel.AIRWAY: (43,),  # trachea
}
_NAMES = {13: "lung_upper_lobe_left", 16: "lung_middle_lobe_right", 43: "trachea"}
"""Of the channels, by which another order would be noticed."""

WINDOW, OVERLAP = 96, 0.25


class WholeBodyBundle:
    """MONAI's whole-body network: lungcad models download wholeBody_ct_segmentation; minutes without a GPU."""

    def __call__(self, scan: Scan, progress: Progress) -> Lungs:
        """The lungs of a scan."""
        bundle = Bundle.read(bundle_folder(NAME), TASK)
        device = choose_device("auto")
        file, spacing = COARSE if device == "cpu" and (bundle.folder / COARSE[0]).is_file() else FINE
        network = _network(bundle)
        bundle.load(network, file)
        grid = scan.geometry.resampled((spacing,) * 3)
        hu = scan.geometry.resample(scan.hu.astype(np.float32), grid, outside=AIR_HU)
        chances = [from_ras(each) for each in _chances(network, to_ras(hu), device, progress)]
        labels = np.zeros(scan.hu.shape, np.uint8)
        best = grid.resample(chances[0], scan.geometry, outside=1.0)
        for label, chance in zip(CHANNELS, chances[1:], strict=True):
            fine = grid.resample(chance, scan.geometry)
            labels[fine > best] = label
            np.maximum(best, fine, out=best)
        progress.update(0.9)
        return network_answer("whole-body", scan, labels)


segment = WholeBodyBundle()


def _network(bundle: Bundle) -> "nn.Module":
    """The untrained network that a bundle describes.

    Raises
    ------
    InputError
        If it describes another one.
    """
    try:
        from monai.networks.nets import SegResNet
    except ModuleNotFoundError as missing:
        raise InputError(
            f"The lung engine whole-body needs {missing.name}; pip install 'lungcadlib[networks]'."
        ) from None
    said = bundle.setting("network_def", default={})
    outputs = bundle.metadata.get("network_data_format", {}).get("outputs", {}).get("pred", {}).get("channel_def", {})
    kind = str(said.get("_target_", "")).rpartition(".")[2]
    if kind != "SegResNet" or any(outputs.get(str(number)) != name for number, name in _NAMES.items()):
        raise InputError(f"{bundle.folder} is not {NAME} as MONAI publishes it; give another folder.")
    return SegResNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=int(said.get("out_channels", 105)),
        init_filters=int(said.get("init_filters", 32)),
        blocks_down=tuple(said.get("blocks_down", (1, 2, 2, 4))),
        blocks_up=tuple(said.get("blocks_up", (1, 1, 1))),
    )


def _chances(network: "nn.Module", hu: NDArray[np.float32], device: str, progress: Progress) -> NDArray[np.float32]:
    """The chance (4, x, y, z) of everything else and of each of `CHANNELS`, for HU (x, y, z)."""
    import torch
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import NormalizeIntensity, ScaleIntensity

    image = ScaleIntensity(-1.0, 1.0)(NormalizeIntensity(nonzero=True)(hu[None]))
    groups = [list(numbers) for numbers in CHANNELS.values()]

    def grouped(window: "Tensor") -> "Tensor":
        parts = network(window).float().softmax(1)
        found = [parts[:, numbers].sum(1) for numbers in groups]
        return torch.stack([1 - sum(found), *found], 1)

    inferer = SlidingWindowInferer(
        (WINDOW,) * 3, sw_batch_size=1, overlap=OVERLAP, mode="gaussian", padding_mode="replicate", device="cpu"
    )
    network.to(device)
    with torch.inference_mode(), autocast(device), windows(network, hu.shape, (WINDOW,) * 3, OVERLAP, progress):
        out = inferer(torch.as_tensor(np.asarray(image, np.float32))[None].to(device), grouped)
    found: NDArray[np.float32] = out[0].numpy()
    return found
