"""What LungCAD needs from PyPI: which of it is missing, and how Slicer installs it. No widget, no dialog of its own."""

import importlib
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import slicer
from slicer.i18n import tr as _

from LungCADLib.resources import resource

TORCH = "torch"
"""Installed by the PyTorch extension, which picks the build for this machine's GPU; pip alone would take any."""

FOR_NETWORKS = frozenset({"torch", "monai", "safetensors"})
"""Without these LungCAD finds, outlines and rates without networks; without any other requirement it does nothing."""

BUILT_ON_TORCH = frozenset({"monai"})
"""Pip would bring torch along with these, and not the build for this machine."""

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


def blocking(lines: list[str]) -> list[str]:
    """The names of those without which no scan can be analyzed at all."""
    return [name_of(line) for line in lines if name_of(line) not in FOR_NETWORKS]


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


def installable(lines: list[str]) -> list[str]:
    """Of some requirements those that can be installed now: without the PyTorch extension, nothing that needs torch."""
    torch_missing = any(name_of(line) == TORCH for line in lines)
    if not torch_missing or has_pytorch_extension():
        return lines
    return [line for line in lines if name_of(line) not in BUILT_ON_TORCH | {TORCH}]


def install(lines: list[str]) -> bool:
    """Install requirements into Slicer's Python: torch by the PyTorch extension, then the rest by pip.

    Torch comes first, so that what needs it finds the build for this machine already there.

    Returns
    -------
    Whether Slicer must be restarted, because an older version of one of them is in use.

    Raises
    ------
    RuntimeError
        If torch could not be installed.
    """
    in_use = any(name_of(line) in sys.modules for line in lines)
    torch = next((line for line in lines if name_of(line) == TORCH), None)
    if torch is not None:
        from PyTorchUtils import PyTorchUtilsLogic

        wanted = _LINE.match(torch)[2] or None  # type: ignore[index]
        logic = PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=False, torchVersionRequirement=wanted) is None:
            raise RuntimeError(_("PyTorch was not installed."))
    rest = [line for line in lines if name_of(line) != TORCH]
    if rest:
        _install_by_pip(rest)
    importlib.invalidate_caches()
    return in_use


def _install_by_pip(lines: list[str]) -> None:
    try:
        from slicer.packaging import pip_ensure
    except ImportError:  # Slicer 5.10
        slicer.util.pip_install(lines)
    else:
        pip_ensure(lines, prompt_install=False, prompt_restart=False, requester="LungCAD")
