"""CT volumes from files: DICOM folders, single files, DICOMDIR, NRRD, NIfTI and MetaImage."""

from LungCADLib.readers.catalog import SeriesInfo
from LungCADLib.readers.read import list_series, read_scan

__all__ = ["SeriesInfo", "list_series", "read_scan"]
