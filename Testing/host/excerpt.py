"""Makes `slicer-api.json` beside this file from a dump of all classes: python Testing/host/excerpt.py DUMP."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
CLASSES = """
    qt.QObject qt.QWidget qt.QFrame qt.QLabel qt.QPushButton qt.QToolButton qt.QCheckBox qt.QComboBox qt.QSpinBox
    qt.QDoubleSpinBox qt.QProgressBar qt.QPlainTextEdit qt.QTextBrowser qt.QTableWidget qt.QTableWidgetItem qt.QHeaderView
    qt.QAbstractItemView qt.QVBoxLayout qt.QHBoxLayout qt.QFormLayout qt.QGridLayout qt.QTimer qt.QPixmap qt.QColor
    qt.QBrush qt.QApplication qt.QFileDialog qt.QUrl qt.QDesktopServices qt.QSettings qt.QMessageBox
    ctk.ctkCollapsibleButton ctk.ctkCollapsibleGroupBox ctk.ctkMessageBox
    slicer.qMRMLWidget slicer.qMRMLNodeComboBox slicer.qMRMLSegmentationShow3DButton
""".split()


def main() -> None:
    dump = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    widget = set(dump["qt.QWidget"]["methods"])
    lines = []
    for name in CLASSES:
        entry = dump[name]
        # What every widget has is said once, at qt.QWidget.
        inherited = widget if name != "qt.QWidget" and entry.get("widget", True) else set()
        parts = {key: sorted(set(entry[key]) - inherited) for key in ("properties", "signals", "methods")}
        lines.append(f"{json.dumps(name)}: {json.dumps(parts, separators=(',', ':'))}")
    (HERE / "slicer-api.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
