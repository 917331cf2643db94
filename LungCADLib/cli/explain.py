"""`lungcad explain`: where the networks looked, for one nodule or one place."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from LungCADLib.explain import Explanation
    from LungCADLib.masks import BoxMask, Lungs
    from LungCADLib.progress import Progress
    from LungCADLib.scan import Scan
    from LungCADLib.study import Xyz

_NETWORKS = ("appearance", "reduction", "cnn-2d")
_USUAL = ("appearance", "reduction")
"""The networks of the road as it is when nobody chooses."""

_RADIUS_MM = 5.0
"""Where to begin outlining at a place that nobody measured."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Offer the input, the nodule, and where the maps go."""
    parser.add_argument("input", metavar="INPUT", help="DICOM folder, DICOMDIR or file; NRRD, NIfTI or MetaImage file")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--point", type=_xyz, metavar="X,Y,Z", help="a place inside the nodule, LPS mm: --point=-48.5,12,-203"
    )
    which.add_argument("--nodule", metavar="ID", help="a nodule as `lungcad analyze` names it, such as N1")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder for pictures (PNG) and maps (NRRD)")
    parser.add_argument("--series", metavar="UID", help="the series to read, as `lungcad series` lists it")
    parser.add_argument(
        "--network", nargs="+", choices=_NETWORKS, default=_USUAL, metavar="NAME",
        help=f"which to ask, of {', '.join(_NETWORKS)} (default: {' '.join(_USUAL)})",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Explain one nodule: pictures, maps, and how far to believe them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from LungCADLib.cli import screen
    from LungCADLib.errors import OutputError
    from LungCADLib.jobs.output import publishing
    from LungCADLib.jobs.question import explained
    from LungCADLib.progress import Progress
    from LungCADLib.readers import read_scan

    out = Path(args.out)
    if out.exists():
        raise OutputError(f"{out} is already there; remove it or choose another --out.")
    with screen.following(screen.messages()) as report:
        progress = Progress(report=report, shares={"read": 1, "nodule": 5, "explain": 4})
        with progress.stage("read"):
            scan = read_scan(Path(args.input), args.series)
        with progress.stage("nodule"):
            center, lungs, outline = _at(scan, args.point, progress) if args.point else _named(scan, args.nodule)
        with progress.stage("explain"):
            explanations: list[Explanation] = []
            for turn, name in enumerate(dict.fromkeys(args.network)):
                explanations += explained(name, scan, lungs, outline, center)
                progress.update((turn + 1) / len(args.network))
        with publishing(out.absolute()) as partial:
            for each in explanations:
                _write(partial, scan, outline, each)

    console = screen.output()
    table = Table("Network", "Log odds", "Hiding loses", "Maps agree", "Random weights", box=SIMPLE_HEAD)
    for each in explanations:
        numbers = (each.log_odds, float(each.occlusion.values.max()), each.agreement, each.chance)
        table.add_row(each.network, *(f"{number:.2f}" for number in numbers))
    console.print(table)
    console.print(
        "Hiding loses: of the log odds, at the place where it matters most. Maps agree: correlation of Grad-CAM and "
        "occlusion. Random weights: rank correlation with the Grad-CAM of a network that has learned nothing. Believe "
        "a map where the maps agree and random weights give another."
    )
    console.print(f"Pictures and maps: {out}")
    return 0


def _at(scan: "Scan", point: "Xyz", progress: "Progress") -> "tuple[Xyz, Lungs, BoxMask]":
    """The nodule at a place."""
    from LungCADLib.engines import named
    from LungCADLib.errors import InputError
    from LungCADLib.lungs import segment_lungs
    from LungCADLib.nodules import outliner
    from LungCADLib.settings import Settings
    from LungCADLib.study import Candidate

    index = scan.geometry.to_index(point)
    if (index < -0.5).any() or (index > [n - 0.5 for n in scan.hu.shape]).any():
        raise InputError(f"--point {','.join(map(str, point))} is not in the scan; give LPS positions in mm.")
    lungs = segment_lungs(scan, Settings().lung_engine, progress)
    outline = outliner(named(Settings().outliner, "network", "classical"))(
        scan, lungs.region, Candidate(point, _RADIUS_MM, "solid", 1.0)
    )
    if not outline.mask.any():
        raise InputError(f"There is nothing to outline at --point {','.join(map(str, point))}; give another place.")
    return point, lungs, outline


def _named(scan: "Scan", name: str) -> "tuple[Xyz, Lungs, BoxMask]":
    """The nodule of a name, after the whole road."""
    from LungCADLib.errors import InputError
    from LungCADLib.masks import LungLabel, Lungs
    from LungCADLib.pipeline import analyze

    study = analyze(scan)
    nodule = next((nodule for nodule in study.nodules if nodule.id == name), None)
    if nodule is None or study.masks is None:
        there = ", ".join(nodule.id for nodule in study.nodules) or "none"
        raise InputError(f"There is no nodule {name!r} in this scan; there is {there}.")
    labels = study.masks.lungs
    region = (labels == LungLabel.RIGHT) | (labels == LungLabel.LEFT)
    outline = study.masks.nodules[name]
    region[outline.box] |= outline.mask
    return nodule.center_lps_mm, Lungs(labels, region, study.lungs), outline


def _write(folder: Path, scan: "Scan", outline: "BoxMask", found: "Explanation") -> None:
    import SimpleITK as sitk

    from LungCADLib.explain import picture
    from LungCADLib.pictures import png

    name = found.network.replace(", ", "-").replace(" ", "-")
    for each in found.maps:
        image = scan.geometry.crop(each.box).image(each.values)
        image.SetMetaData("meaning", each.meaning)
        sitk.WriteImage(image, str(folder / f"{name}-{each.name}.nrrd"), useCompression=True)
    z = outline.start[0] + int(outline.mask.sum(axis=(1, 2)).argmax())
    (folder / f"{name}.png").write_bytes(png(picture(scan, outline, found.maps, z)))


def _xyz(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not three numbers, as in -48.5,12,-203.1") from None
    return x, y, z
