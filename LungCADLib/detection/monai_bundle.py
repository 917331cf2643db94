"""The detector of MONAI's Model Zoo, trained on LUNA16, from its bundle `lung_nodule_ct_detection`.

Everything follows the bundle's `configs/inference.json`, version 0.6.8: what it says of spacing, HU, anchors and
selection is read from the folder at hand; what it says in expressions has the contract's values below.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib import weights
from LungCADLib.bundles import Bundle, to_ras, window_count, windows
from LungCADLib.compute import autocast, choose_device, in_batches
from LungCADLib.errors import InputError
from LungCADLib.masks import Lungs
from LungCADLib.progress import Progress
from LungCADLib.scan import AIR_HU, Box, Geometry, Scan
from LungCADLib.study import Candidate

if TYPE_CHECKING:
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
    from torch import Tensor

NAME = "lung_nodule_ct_detection"
TASK = "CT lung nodule detection"

AROUND_MM = 24.0
"""Beyond the lungs' box: what the network needs to see beside a nodule on the wall."""

CPU_WINDOW = (192, 192, 96)
"""For a CPU: near the training patch. In the bundle's window (512, 512, 192) the first convolution's features alone are
3.2 GB; in this one everything is 1.5 GB and takes 48 s of one core. The 99 slices of a whole chest are 27 of them."""

MASS_FROM_MM = 15.0
HAZY_HU = -450
"""A mark whose core is darker than this is named ground glass; the network itself does not tell."""


@dataclass(frozen=True)
class Contract:
    """What the network expects and how its boxes are chosen. Axes (x, y, z) grow to the right, the front, the head.

    Parameters
    ----------
    spacing_mm
        (x, y, z) of its input.
    hu
        These become 0 and 1.
    anchors, scales
        Anchor boxes in voxels (x, y, z) at the first level, and their growth by level.
    size_divisible, window, overlap
        Of the sliding window, in voxels.
    least_score, best_per_level, most_shared, most_boxes
        Selection: least score, candidates per level, highest overlap (IoU) of two boxes, boxes per scan.
    """

    spacing_mm: tuple[float, float, float] = (0.703125, 0.703125, 1.25)
    hu: tuple[float, float] = (-1024.0, 300.0)
    anchors: tuple[tuple[float, ...], ...] = ((6, 8, 4), (8, 6, 5), (10, 10, 6))
    scales: tuple[float, ...] = (1, 2, 4)
    size_divisible: tuple[int, int, int] = (16, 16, 8)
    window: tuple[int, int, int] = (512, 512, 192)
    overlap: float = 0.25
    least_score: float = 0.02
    best_per_level: int = 1000
    most_shared: float = 0.22
    most_boxes: int = 300

    @staticmethod
    def of(bundle: Bundle) -> "Contract":
        """The contract of a bundle.

        Raises
        ------
        InputError
            If the bundle holds another kind of network.
        """
        network = str(bundle.setting("network_def", "_target_", default="")).rpartition(".")[2]
        dims, classes = (bundle.setting(key, default=n) for key, n in (("spatial_dims", 3), ("num_classes", 1)))
        if network != "RetinaNet" or dims != 3 or classes != 1:
            raise InputError(
                f"{bundle.folder} holds {network or 'no network'} with {dims} dimensions and {classes} classes, not "
                f"the 3D RetinaNet of {NAME} with one; give another folder."
            )
        usual = Contract()
        hu = bundle.transform("ScaleIntensityRanged")
        operations = " ".join(map(str, bundle.setting("detector_ops", default=[])))
        try:
            return Contract(
                spacing_mm=_three(bundle.transform("Spacingd").get("pixdim", usual.spacing_mm), float),
                hu=(float(hu.get("a_min", usual.hu[0])), float(hu.get("a_max", usual.hu[1]))),
                anchors=tuple(
                    _three(shape, float)
                    for shape in bundle.setting("anchor_generator", "base_anchor_shapes", default=usual.anchors)
                ),
                scales=tuple(bundle.setting("anchor_generator", "feature_map_scales", default=usual.scales)),
                size_divisible=_three(bundle.setting("size_divisible", default=usual.size_divisible), int),
                window=_three(bundle.setting("infer_patch_size", default=usual.window), int),
                overlap=_argument(operations, "overlap", usual.overlap),
                least_score=_argument(operations, "score_thresh", usual.least_score),
                best_per_level=int(_argument(operations, "topk_candidates_per_level", usual.best_per_level)),
                most_shared=_argument(operations, "nms_thresh", usual.most_shared),
                most_boxes=int(_argument(operations, "detections_per_img", usual.most_boxes)),
            )
        except (TypeError, ValueError):
            path = bundle.folder / "configs" / "inference.json"
            raise InputError(f"{path} has values this LungCAD cannot use; use the bundle as published.") from None


class BundleDetector:
    """MONAI's RetinaNet, trained on LUNA16: lungcad models download lung_nodule_ct_detection; slow without a GPU."""

    def __call__(self, scan: Scan, lungs: Lungs, progress: Progress) -> list[Candidate]:
        """What the network marks in or at the lungs, highest score first."""
        bundle = Bundle.read(weights.bundle_folder(NAME), TASK)
        contract = Contract.of(bundle)
        if not lungs.region.any():
            return []
        device = choose_device("auto")
        detector = _detector(bundle, contract)
        image, grid = network_input(scan, around(lungs.region, scan.geometry), contract)
        progress.update(0.05)

        def run(_: slice, device: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            window = contract.window if device == "cuda" else CPU_WINDOW
            return marks(detector, image, contract, window, device, progress)

        [(boxes, scores)] = in_batches(run, 1, 1, device)
        return candidates(boxes, scores, grid, scan, lungs)


detect = BundleDetector()


def around(region: NDArray[np.bool_], geometry: Geometry) -> Box:
    """The box of the lungs with `AROUND_MM` on every side, clipped to the grid."""
    box = []
    for axis, (n, step) in enumerate(zip(region.shape, geometry.spacing, strict=True)):
        held = np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis)))
        reach = int(AROUND_MM / step) + 1
        box.append(slice(max(0, int(held[0]) - reach), min(n, int(held[-1]) + 1 + reach)))
    return box[0], box[1], box[2]


def network_input(scan: Scan, box: Box, contract: Contract) -> tuple[NDArray[np.float32], Geometry]:
    """A box of the scan as the network takes it.

    Returns
    -------
    tuple[NDArray[np.float32], Geometry]
        float32 (x, y, z) from 0 to 1 with axes toward right, front and head, and the grid (z, y, x) it was sampled on,
        whose x and y run the other way.
    """
    part = scan.crop(box)
    grid = part.geometry.resampled(contract.spacing_mm[::-1])  # type: ignore[arg-type]
    hu = part.geometry.resample(part.hu.astype(np.float32), grid, outside=AIR_HU)
    low, high = contract.hu
    gray = np.clip((hu - low) / (high - low), 0, 1, dtype=np.float32)
    return to_ras(gray), grid


def marks(
    detector: "RetinaNetDetector",
    image: NDArray[np.float32],
    contract: Contract,
    window: tuple[int, int, int],
    device: str,
    progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The detector's boxes (n, 6) as (x, y, z, x, y, z) in voxels of the image, and their scores (n,)."""
    import torch

    padded = [-(-n // d) * d for n, d in zip(image.shape, contract.size_divisible, strict=True)]
    window = tuple(min(w, n) for w, n in zip(window, padded, strict=True))  # type: ignore[assignment]
    detector.set_sliding_window_inferer(
        roi_size=window, overlap=contract.overlap, sw_batch_size=1, mode="constant", device="cpu"
    )
    detector.anchors = None  # MONAI keeps them, on the device they were last made for
    several = window_count(padded, window, contract.overlap) > 1
    detector.network.to(device)
    told = windows(detector.network, padded, window, contract.overlap, progress)
    hook = detector.network.register_forward_hook(_in_full_precision)
    with torch.inference_mode(), autocast(device), told:
        found = detector([torch.from_numpy(image)[None].to(device)], use_inferer=several)[0]
    hook.remove()
    return found["box"].double().cpu().numpy(), found["label_scores"].double().cpu().numpy()


def candidates(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], grid: Geometry, scan: Scan, lungs: Lungs
) -> list[Candidate]:
    """Boxes as candidates, highest score first.

    A mark counts if some of the region nodules are looked for in lies within its radius: the network learned from whole
    slices and may mark the gut or the skin, but a nodule on the wall has its center outside the lung.

    Parameters
    ----------
    boxes
        (n, 6) as `marks` gives them; a box from 3 to 5 has its center at voxel 4 (MONAI applies the affine to both).
    scores
        (n,).
    grid
        As `network_input` gives it.
    """
    found = []
    last = np.array(grid.shape)[::-1] - 1
    for box, score in sorted(zip(boxes, scores, strict=True), key=lambda pair: -pair[1]):
        x, y, z = (box[:3] + box[3:]) / 2
        center = grid.to_lps((z, last[1] - y, last[0] - x))
        radius = float(np.mean((box[3:] - box[:3]) * grid.spacing[::-1]) / 2)
        near = scan.geometry.box_around(center, radius)
        if not lungs.region[near].any():
            continue
        core = np.median(scan.hu[scan.geometry.box_around(center, radius / 3)])
        kind: Any = "ground-glass" if core < HAZY_HU else "mass" if radius >= MASS_FROM_MM else "solid"
        found.append(Candidate((float(center[0]), float(center[1]), float(center[2])), radius, kind, float(score)))
    return found


def _detector(bundle: Bundle, contract: Contract) -> "RetinaNetDetector":
    """The network with the bundle's weights inside MONAI's detector."""
    try:
        from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
        from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape

        from LungCADLib.detection.retinanet import retinanet
    except ModuleNotFoundError as missing:
        raise InputError(f"The detector retinanet needs {missing.name}; pip install 'lungcadlib[networks]'.") from None
    network = retinanet(len(contract.anchors), size_divisible=contract.size_divisible)
    bundle.load(network)
    detector = RetinaNetDetector(
        network,
        AnchorGeneratorWithAnchorShape(contract.scales, contract.anchors),  # type: ignore[arg-type]
    )
    detector.set_target_keys(box_key="box", label_key="label")
    detector.set_box_selector_parameters(
        score_thresh=contract.least_score,
        topk_candidates_per_level=contract.best_per_level,
        nms_thresh=contract.most_shared,
        detections_per_img=contract.most_boxes,
    )
    return detector.eval()


def _in_full_precision(network: object, given: object, heads: "dict[str, list[Tensor]]") -> "dict[str, list[Tensor]]":
    """MONAI gives boxes the type of the scores: in half precision, they would be off by voxels."""
    return {key: [each.float() for each in levels] for key, levels in heads.items()}


def _three(values: Any, kind: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    a, b, c = (kind(value) for value in values)
    return a, b, c


def _argument(text: str, name: str, usual: float) -> float:
    """The number given to an argument in the text of a call."""
    found = re.search(rf"\b{name}\s*=\s*([0-9.]+(?:e-?[0-9]+)?)", text)
    return float(found[1]) if found else usual
