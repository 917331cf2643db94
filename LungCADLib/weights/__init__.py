"""Weights of networks and smaller models: what comes with LungCAD, what can be downloaded, and where it is kept.

`bundled` are the files in `Resources/Models`. `catalog` is the table of what others publish, `fetch` gets it,
`cache` keeps it outside the program. Nothing is loaded whose SHA-256 was not checked in the same moment, nothing is
downloaded that nobody asked for, and no file of weights can run code.
"""

from LungCADLib.weights.archive import read_state
from LungCADLib.weights.bundled import (
    BundledFile,
    State,
    bundled_files,
    bundled_members,
    bundled_table,
    read_members,
    release,
    write_members,
    write_table,
)
from LungCADLib.weights.cache import bundle_folder, cache_folder, delete, import_files, is_installed
from LungCADLib.weights.catalog import BUNDLED, CATALOG, Entry, License, entry
from LungCADLib.weights.fetch import OFFLINE, download

__all__ = [
    "BUNDLED",
    "CATALOG",
    "OFFLINE",
    "BundledFile",
    "Entry",
    "License",
    "State",
    "bundle_folder",
    "bundled_files",
    "bundled_members",
    "bundled_table",
    "cache_folder",
    "delete",
    "download",
    "entry",
    "import_files",
    "is_installed",
    "read_members",
    "read_state",
    "release",
    "write_members",
    "write_table",
]
