"""What a network looked at: heat maps on the scan's grid, made in independent ways and checked against chance."""

from LungCADLib.explain.maps import Explanation, HeatMap, agreement, likeness, on_scan, randomized
from LungCADLib.explain.methods import grad_cam, integrated_gradients, occlusion
from LungCADLib.explain.picture import picture

__all__ = [
    "Explanation",
    "HeatMap",
    "agreement",
    "grad_cam",
    "integrated_gradients",
    "likeness",
    "occlusion",
    "on_scan",
    "picture",
    "randomized",
]
