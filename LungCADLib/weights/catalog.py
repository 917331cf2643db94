"""What there is: the networks that come with LungCAD, and those that others publish, with licenses and hashes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from LungCADLib.errors import InputError

Hash = tuple[Literal["md5", "sha1", "sha256"], str]
"""An algorithm and its digest in hexadecimal digits."""


@dataclass(frozen=True)
class License:
    """Terms of use: a short name, where the text is, whom to name, and whether business may use it."""

    name: str
    url: str
    attribution: str
    commercial: bool = True

    def __str__(self) -> str:
        return self.name if self.commercial else f"{self.name}, non-commercial use only"


@dataclass(frozen=True)
class Entry:
    """A network that somebody else publishes.

    Attributes
    ----------
    name
        As the person types it.
    what
        One line.
    license
        Shown and accepted before a download.
    page
        Where its publisher describes it.
    file, url, digest
        What is downloaded, or brought by hand under the same name: one file of weights, or a zip with a folder.
    megabytes
        About how much that is, in units of 10^6 bytes.
    parts
        For a zip: the weights inside and the hashes published for them, by which an unpacked folder is recognized.
    """

    name: str
    what: str
    license: License
    page: str
    file: str
    url: str
    digest: Hash
    megabytes: int
    parts: Mapping[str, Hash] = field(default_factory=dict)


_APACHE = "https://www.apache.org/licenses/LICENSE-2.0"
_LIDC = (
    "LIDC-IDRI (CC BY 3.0): Armato SG III et al., Med Phys 38:915-931, 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX"  # TCIA
)
_LUNA16 = "LUNA16 (CC BY 4.0): Setio AAA et al., Med Image Anal 42:1-13, 2017"

_OURS = License("Apache-2.0", _APACHE, f"Trained on {_LIDC}.")

BUNDLED: dict[str, tuple[str, License]] = {
    "outline": ("outlines a nodule in 3D", _OURS),
    "reduction": ("tells nodules from what only looks like one", _OURS),
    "unet-merge": ("looks for nodules slice by slice", _OURS),
    "attributes": ("rates a nodule as radiologists do: margin, texture, spiculation and more", _OURS),
    "appearance": (
        "rates how suspicious a nodule looks",
        License("Apache-2.0", _APACHE, f"Trained on {_LIDC}; {_LUNA16}."),
    ),
    "calm": ("rates how suspicious a nodule looks, by published clusters and a classifier", _OURS),
    "calm-baselines": ("rates how suspicious a nodule looks, for comparison with those", _OURS),
    "membership": ("rates how suspicious a nodule looks, by published patterns and degrees of membership", _OURS),
    "lung-rads-cnn": ("outlines a nodule on a slice and rates how suspicious that looks", _OURS),
    "cnn-2d": ("rates how suspicious a nodule looks, as a published 2D CNN does", _OURS),
}
"""What each network in `Resources/Models` does, by the name of its file, and on what terms."""

# MONAI's hashes and addresses: Project-MONAI/model-zoo at 2024-10-11, `models/model_info.json` for the archives and
# `models/*/large_files.yml` for the weights in them. It publishes MD5 and SHA-1, no SHA-256; nobody can make another
# file to a given digest of either, so a file that has it is MONAI's. From then on LungCAD checks its SHA-256.
# Sizes: catalog.ngc.nvidia.com (159.84 MB), huggingface.co/MONAI/wholeBody_ct_segmentation (151 MB), and the parameters
# of lungmask's network.
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/monaihosting"

_ENTRIES = (
    Entry(
        name="lung_nodule_ct_detection",
        what="MONAI Model Zoo 0.6.8: RetinaNet that finds lung nodules, trained on LUNA16",
        license=License("Apache-2.0", _APACHE, f"Project MONAI; trained on {_LUNA16}; {_LIDC}."),
        page="https://github.com/Project-MONAI/model-zoo/tree/dev/models/lung_nodule_ct_detection",
        file="lung_nodule_ct_detection_v0.6.8.zip",
        url=f"{_NGC}/lung_nodule_ct_detection/versions/0.6.8/files/lung_nodule_ct_detection_v0.6.8.zip",
        digest=("sha1", "1abae7a9379861c477f7b189e0171cfcd71370b0"),
        megabytes=160,
        parts={"models/model.pt": ("md5", "b2e732a7c2786e2f8398fa45293b1e73")},
    ),
    Entry(
        name="wholeBody_ct_segmentation",
        what="MONAI Model Zoo 0.2.5: SegResNet that outlines 104 structures, the lung lobes among them",
        license=License(
            "Apache-2.0",
            _APACHE,
            "Project MONAI; trained on the TotalSegmentator data set (CC BY 4.0): Wasserthal J et al., "
            "doi 10.5281/zenodo.6802614.",
        ),
        page="https://github.com/Project-MONAI/model-zoo/tree/dev/models/wholeBody_ct_segmentation",
        file="wholeBody_ct_segmentation_v0.2.5.zip",
        url=f"{_NGC}/wholebody_ct_segmentation/versions/0.2.5/files/wholeBody_ct_segmentation_v0.2.5.zip",
        digest=("sha1", "d3be077219fea4ac9630efddd81c19e0676bf206"),
        megabytes=151,
        parts={
            "models/model.pt": ("md5", "aded45dea52f9c00b37922bcd0a98502"),
            "models/model_lowres.pt": ("md5", "dbdebeae650f4fb5ea7f4ad01e0d2431"),
        },
    ),
    Entry(
        name="lungmask_r231",
        what="lungmask R231: U-Net that outlines the lungs, also severely ill ones; needs the package lungmask",
        license=License(
            "Apache-2.0",
            "https://github.com/JoHof/lungmask/blob/master/LICENSE",
            "Published in a repository under this license, which names no other for the weights; Hofmanninger J et "
            "al., Eur Radiol Exp 4:50, 2020, doi 10.1186/s41747-020-00173-2.",
        ),
        page="https://github.com/JoHof/lungmask",
        file="unet_r231-d5d2fc3d.pth",
        url="https://github.com/JoHof/lungmask/releases/download/v0.0/unet_r231-d5d2fc3d.pth",
        # The publisher gives the first eight digits, in the file's name, as torch.hub checks them; all 64 are what
        # another public program (cavinet_ml) checks its own download of the same address against.
        digest=("sha256", "d5d2fc3df432115933491f115b283e94d1f5c841c0e82f6e7bd2d65d3ccde69f"),
        megabytes=124,
    ),
)

CATALOG: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def entry(name: str) -> Entry:
    """The entry of a name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in CATALOG:
        raise InputError(f"There is no download named {name!r}; choose one of {', '.join(CATALOG)}.")
    return CATALOG[name]
