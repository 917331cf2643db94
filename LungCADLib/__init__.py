"""LungCAD: reads a chest CT for lung nodules. For research; not a medical device.

Lengths are in mm, volumes in mm³, intensities in HU, positions in LPS, arrays are (z, y, x).
Start with `LungCADLib.pipeline`.
"""

__version__ = "0.1.0"
