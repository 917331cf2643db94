"""Weights of networks: what comes with LungCAD, what can be downloaded, and where it is kept.

`bundled` are the files in `Resources/Models`. `catalog` is the table of what others publish, `download` gets it,
`cache` keeps it outside the program. Nothing is loaded whose SHA-256 was not checked in the same moment, nothing is
downloaded that nobody asked for, and no file of weights can run code.
"""

from LungCADLib.weights.bundled import State, bundled_members, read_members, release, write_members

__all__ = ["State", "bundled_members", "read_members", "release", "write_members"]
