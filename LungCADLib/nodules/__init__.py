"""A nodule outlined and measured."""

from LungCADLib.nodules.measure import measure_nodule

__all__ = ["measure_nodule"]
