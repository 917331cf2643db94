"""Makes `slicer-api.json` beside this file from a dump of all classes: python Testing/host/excerpt.py DUMP."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
CLASSES = {
    "qt": (
        "QObject",
        "QWidget",
        "QFrame",
        "QLabel",
        "QPushButton",
        "QToolButton",
        "QCheckBox",
        "QComboBox",
        "QSpinBox",
        "QDoubleSpinBox",
        "QProgressBar",
        "QPlainTextEdit",
        "QTextBrowser",
        "QTableWidget",
        "QTableWidgetItem",
        "QHeaderView",
        "QAbstractItemView",
        "QVBoxLayout",
        "QHBoxLayout",
        "QFormLayout",
        "QGridLayout",
        "QTimer",
        "QPixmap",
        "QFont",
        "QIcon",
        "QColor",
        "QBrush",
        "QApplication",
        "QFileDialog",
        "QUrl",
        "QDesktopServices",
        "QSettings",
        "QMessageBox",
    ),
    "ctk": (
        "ctkCollapsibleButton",
        "ctkCollapsibleGroupBox",
        "ctkMessageBox",
    ),
    "slicer": (
        "qMRMLWidget",
        "qMRMLNodeComboBox",
        "qMRMLSegmentationShow3DButton",
    ),
}


def main() -> None:
    dump = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    widget = set(dump["qt.QWidget"]["methods"])
    lines = []
    for name in (f"{module}.{name}" for module, names in CLASSES.items() for name in names):
        entry = dump[name]
        # What every widget has is said once, at qt.QWidget.
        inherited = widget if name != "qt.QWidget" and entry.get("widget", True) else set()
        parts = {key: sorted(set(entry[key]) - inherited) for key in ("properties", "signals", "methods")}
        lines.append(f"{json.dumps(name)}: {json.dumps(parts, separators=(',', ':'))}")
    (HERE / "slicer-api.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
