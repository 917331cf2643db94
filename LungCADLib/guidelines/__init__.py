"""What the guidelines make of measured nodules: risk equations, Lung-RADS v2022, Fleischner 2017, BTS 2015, growth.

`assess` is all the pipeline needs. Each published table is a table in the code, one row per line with its citation:
`risk_table`, `lung_rads_table`, `fleischner.ROWS`, `bts.SOLID_ROWS`. Inputs nobody gave are named in `Risk.assumed` and
widen the answer to a range.
"""

from LungCADLib.guidelines.exam import assess

__all__ = ["assess"]
