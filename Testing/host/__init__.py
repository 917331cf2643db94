"""A headless stand-in for the Slicer application, for development and tests of the panel.

What is real: the MRML scene, its nodes and logics and `slicer.util` (slicer-core from PyPI), Qt's widgets (PySide6, on
the offscreen platform), and LungCAD's own `.ui` file. What is not: PythonQt, whose manners `pythonqt` imitates
(properties are attributes, `connect("clicked(bool)", f)`); the ctk and qMRML widgets, drawn by `widgets` as simply as
can be; `ScriptedLoadableModule` and `parameterNodeWrapper`, of which there is only what LungCAD uses.

`slicer-api.json` lists for each class its properties, signals and methods as PythonQt showed them in Slicer 5.12.3; a
name that is not in it is refused here, so that code which passes here finds its names in the application. It is no
proof that LungCAD works in Slicer: `Testing/Python` is run by Slicer itself for that.
"""

from host.application import Host

__all__ = ["Host"]
