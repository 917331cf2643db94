"""Pieces of the module's panel. The only package that imports `qt`; widgets ask, logic answers, and scene writes.

`Panel` is the whole of it; `LungCAD.py` only makes one. What needs no widget lives in `parameters`, `run`, `review` and
`details`, and is tested without any.
"""
