"""nodules.csv: one row per nodule."""

import csv
from pathlib import Path

from LungCADLib.columns import COLUMNS, as_text, rows
from LungCADLib.study import Nodule


def write_csv(nodules: list[Nodule], path: Path) -> None:
    """Write the table of nodules as RFC 4180 (commas, quotes where needed, CRLF), UTF-8, with a header of names.

    Numbers have a decimal point and at most four decimals; a cell nobody could fill is empty.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(column.name for column in COLUMNS)
        writer.writerows([as_text(cell) for cell in row] for row in rows(nodules))
