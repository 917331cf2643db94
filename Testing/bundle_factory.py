"""MONAI bundles with the published layout and random weights, for tests."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

NODULES_INFERENCE: dict[str, Any] = {
    "spatial_dims": 3,
    "num_classes": 1,
    "size_divisible": [16, 16, 8],
    "infer_patch_size": [512, 512, 192],
    "anchor_generator": {
        "_target_": "monai.apps.detection.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
        "feature_map_scales": [1, 2, 4],
        "base_anchor_shapes": [[6, 8, 4], [8, 6, 5], [10, 10, 6]],
    },
    "backbone": "$monai.networks.nets.resnet.resnet50(spatial_dims=3,n_input_channels=1,conv1_t_stride=[2,2,1])",
    "network_def": {
        "_target_": "RetinaNet",
        "spatial_dims": "@spatial_dims",
        "feature_extractor": "@feature_extractor",
    },
    "detector_ops": [
        "$@detector.set_target_keys(box_key='box', label_key='label')",
        "$@detector.set_box_selector_parameters(score_thresh=0.02,topk_candidates_per_level=1000,nms_thresh=0.22,"
        "detections_per_img=300)",
        "$@detector.set_sliding_window_inferer(roi_size=@infer_patch_size,overlap=0.25,sw_batch_size=1)",
    ],
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Orientationd", "axcodes": "RAS"},
            {"_target_": "Spacingd", "pixdim": [0.703125, 0.703125, 1.25]},
            {"_target_": "ScaleIntensityRanged", "a_min": -1024.0, "a_max": 300.0, "b_min": 0.0, "b_max": 1.0},
        ],
    },
}


def write_bundle(
    folder: Path, metadata: dict[str, Any], inference: dict[str, Any], networks: dict[str, nn.Module]
) -> Path:
    """A bundle's folder: LICENSE, configs, docs, and models by file name."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "docs").mkdir()
    (folder / "LICENSE").write_text("Apache License 2.0", encoding="utf-8")
    (folder / "docs" / "README.md").write_text("# A bundle", encoding="utf-8")
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    (folder / "configs" / "inference.json").write_text(json.dumps(inference), encoding="utf-8")
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / "models" / name)
    return folder


def nodule_bundle(folder: Path, network: nn.Module, **changes: Any) -> Path:
    """The layout of `lung_nodule_ct_detection` 0.6.8; `changes` replace keys of its `inference.json`."""
    metadata = {"version": "0.6.8", "name": "Lung nodule CT detection", "task": "CT lung nodule detection"}
    return write_bundle(folder, metadata, {**NODULES_INFERENCE, **changes}, {"model.pt": network})
