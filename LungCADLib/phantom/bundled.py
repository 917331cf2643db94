"""The phantom that comes with the extension as Slicer's sample data.

`python -m LungCADLib.phantom.bundled` makes the file and its picture again and says its SHA-256, which goes below.
Slicer takes a file's own address as a place to download from, and checks the sum (SampleData.py, `downloadFile`)::

    path = resource("SampleData", "LungCADPhantom.nrrd")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="LungCAD", sampleName="LungCADPhantom", uris=path.as_uri(), fileNames=path.name,
        nodeNames="LungCADPhantom", checksums=f"SHA256:{SHA256}", loadFileType="VolumeFile",
        thumbnailFileName=str(resource("SampleData", "LungCADPhantom.png")))
"""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from LungCADLib.phantom.make import Phantom, make_phantom
from LungCADLib.resources import resource

FILE = ("SampleData", "LungCADPhantom.nrrd")
PICTURE = ("SampleData", "LungCADPhantom.png")
SHA256 = "e3c02fc5442b75ebd2f48d868a6f588ce54330e9440e599266de38516a6da722"
SPACING_MM, EXTENT_MM, NOISE_HU = (2.5, 1.4, 1.4), (300.0, 288.0, 360.0), 8.0
PICTURE_HEIGHT = 260
"""As high as the other pictures of Slicer's sample data."""
STEP_HU = 16
"""Values are rounded to this, far below what tissues and nodules differ by: the file gets half as large."""


def bundled_phantom() -> Phantom:
    """The phantom in the file, with its truth."""
    phantom = make_phantom(0, spacing=SPACING_MM, extent_mm=EXTENT_MM, noise_hu=NOISE_HU)
    hu = (STEP_HU * np.round(phantom.scan.hu / STEP_HU)).astype(np.int16)
    return replace(phantom, scan=replace(phantom.scan, hu=hu))


def write_bundled(folder: Path) -> str:
    """Write the file and its picture below a folder, and return the file's SHA-256."""
    import SimpleITK as sitk

    from LungCADLib.pictures import overviews, png

    phantom = bundled_phantom()
    path, scan = folder.joinpath(*FILE), phantom.scan
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(scan.geometry.image(scan.hu), str(path), useCompression=True, compressionLevel=9)
    front, _ = overviews(scan, phantom.masks.lungs, PICTURE_HEIGHT)
    folder.joinpath(*PICTURE).write_bytes(png(front.gray))
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(f"{write_bundled(resource())}\n")
