"""Draws the panel at each step, in light and dark, into a folder: python Testing/host/screenshots.py [FOLDER]."""

import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE.parent), str(ROOT / "LungCAD")]

from host import Host  # noqa: E402

WIDTH, SECONDS = 480, 900


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Resources" / "Screenshots"
    host = Host.get()
    import slicer

    import LungCAD
    from LungCADLib.panel import requirements
    from LungCADLib.phantom import small_phantom
    from LungCADLib.scene.nodes import add_volume

    widget = LungCAD.LungCADWidget()
    panel, ui = widget.panel, widget.panel.ui

    def draw(name: str) -> None:
        for dark in (False, True):
            host.palette(dark)
            host.fit(widget.parent, WIDTH)
            host.screenshot(widget.parent, folder / f"panel-{name}{'-dark' if dark else ''}.png")
        host.palette(False)

    def until(condition) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError
            host.process()
            time.sleep(0.01)

    # What a fresh Slicer lacks; nothing is missing where this runs.
    there = requirements.missing
    requirements.missing = requirements.required
    panel.setup.refresh()
    draw("setup")
    requirements.missing = there
    panel.setup.refresh()

    volume = add_volume(slicer.mrmlScene, small_phantom(0).scan)
    volume.SetName("Chest CT")
    ui.input_volume.setCurrentNode(volume)
    ui.patientBox.checked = ui.advancedBox.checked = True
    ui.age_years.value = 63
    until(lambda: not panel.input._timer.active)
    ui.resultsSection.collapsed = ui.outputSection.collapsed = True
    draw("input")
    ui.patientBox.checked = ui.advancedBox.checked = False
    ui.resultsSection.collapsed = ui.outputSection.collapsed = False

    ui.applyButton.click()
    until(lambda: panel.run.study is not None and panel.run.progress.stage == "candidates")
    draw("running")
    until(lambda: panel.run is None)
    ui.noduleTable.selectRow(0)
    draw("results")
    ui.noduleTable.selectRow(1)
    ui.explainBox.setCurrentIndex(ui.explainBox.findData("appearance"))
    until(lambda: ui.explainBar.visible)
    draw("explanation")
    ui.noduleTable.selectRow(0)
    ui.acceptButton.click()
    ui.noduleTable.selectRow(2)
    ui.rejectButton.click()
    draw("review")


if __name__ == "__main__":
    main()
