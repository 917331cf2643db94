"""Tables of cases: CSV files that must have some columns and no case twice."""

from collections import Counter
from pathlib import Path

from LungCADLib.errors import InputError
from LungCADLib.training.nodule_sets import read_table


def read_cases(path: Path, key: str, columns: tuple[str, ...], what: str) -> dict[str, dict[str, str]]:
    """Rows by case.

    Raises
    ------
    InputError
        If it is no such table, or a case stands in it twice.
    """
    rows = read_table(path, (key, *columns), what)
    count = Counter(row[key] for row in rows)
    twice = [case for case, n in count.items() if n > 1]
    if twice:
        raise InputError(f"{path} names {twice[0]!r} {count[twice[0]]} times; a case may stand in one row only.")
    return {row[key]: row for row in rows}
