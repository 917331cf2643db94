"""What LungCAD needs from PyPI: which of it is missing, and how Slicer installs it. No widget, no dialog of its own."""

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import slicer
from slicer.i18n import tr as _

from LungCADLib.resources import resource

TORCH = "torch"
"""Installed by the PyTorch extension, which picks the build for this machine's GPU; pip alone would take any."""

PYTORCH_EXTENSION = "PyTorch"
_LINE = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*(.*)$")


def required() -> list[str]:
    """The lines of `Resources/requirements.txt` that apply to this Python, without comments."""
    text = resource("requirements.txt").read_text(encoding="utf-8")
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("-")]


def missing() -> list[str]:
    """The requirements that are not met. Looks at what is installed without importing any of it."""
    return [line for line in required() if not _met(line)]


def name_of(line: str) -> str:
    """A requirement's package."""
    match = _LINE.match(line)
    assert match is not None, line
    return match[1]


def _met(line: str) -> bool:
    name, wanted = name_of(line), _LINE.match(line)[2]  # type: ignore[index]
    try:
        found = version(name)
    except PackageNotFoundError:
        # Slicer brings SimpleITK of its own without metadata on 5.10.
        return name == "SimpleITK"
    at_least = re.search(r">=\s*([0-9.]+)", wanted)
    return at_least is None or _numbers(found) >= _numbers(at_least[1])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0])[:3])


def has_pytorch_extension() -> bool:
    """Whether the PyTorch extension's module is there."""
    return hasattr(slicer.modules, "pytorchutils")


def install_pytorch_extension() -> None:
    """Fetch the PyTorch extension from Slicer's server; it is there after a restart.

    Raises
    ------
    RuntimeError
        If Slicer could not.
    """
    manager: Any = slicer.app.extensionsManagerModel()
    if not manager.installExtensionFromServer(PYTORCH_EXTENSION, False):
        raise RuntimeError(_('Install the extension "PyTorch" in the Extensions Manager, then restart Slicer.'))


def install(lines: list[str]) -> None:
    """Install requirements into Slicer's Python: torch by the PyTorch extension, then the rest by pip.

    Torch comes first, so that what needs it finds the build for this machine already there.

    Raises
    ------
    RuntimeError
        If the person declined, or torch could not be installed.
    """
    torch = next((line for line in lines if name_of(line) == TORCH), None)
    if torch is not None:
        from PyTorchUtils import PyTorchUtilsLogic

        wanted = _LINE.match(torch)[2] or None  # type: ignore[index]
        logic = PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=False, torchVersionRequirement=wanted) is None:
            raise RuntimeError(_("PyTorch was not installed."))
    rest = [line for line in lines if name_of(line) != TORCH]
    if not rest:
        return
    try:
        import slicer.packaging
    except ImportError:  # Slicer 5.10
        slicer.util.pip_install(" ".join(f'"{line}"' for line in rest))
    else:
        slicer.packaging.pip_ensure(rest, prompt_install=False, requester="LungCAD")
