"""The one place that knows where `Resources/` lies: source checkout, build tree, Slicer extension or pip install."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "Resources", _PACKAGE.parent / "Resources")


def resource(*parts: str) -> Path:
    """Path of a file below `Resources/`.

    Raises
    ------
    FileNotFoundError
        If no layout has it; the message names every place looked at.
    """
    for place in _PLACES:
        path = place.joinpath(*parts)
        if path.exists():
            return path
    looked = " and ".join(str(place) for place in _PLACES)
    raise FileNotFoundError(f"LungCAD's file {'/'.join(parts)} is missing (looked in {looked}); install LungCAD again.")
