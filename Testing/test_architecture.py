"""Promises about the house itself, beyond what import-linter checks (`make lint`)."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "LungCADLib").rglob("*.py"))
HEAVY = {"torch", "monai", "sklearn", "slicer", "vtk", "qt"}
NETWORKS = {
    "detection/retinanet.py",
    "malignancy/appearance_network.py",
    "malignancy/calm_network.py",
    "malignancy/cnn_2d_network.py",
    "malignancy/lung_rads_cnn_network.py",
    "malignancy/membership_network.py",
}
"""Files that hold a network's classes and nothing else; whoever runs the network imports them then."""


def imported_at_module_level(tree: ast.Module) -> Iterator[str]:
    """Top-level names of the packages that importing the module imports."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += ast.iter_child_nodes(node)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import torch.nn", {"torch"}),
        ("from torch import nn", {"torch"}),
        ("try:\n    import torch\nexcept ImportError:\n    pass", {"torch"}),
        ("class A:\n    import torch", {"torch"}),
        ("def f():\n    import torch", set()),
        ("class A:\n    def f(self):\n        import torch", set()),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", {"typing"}),
    ],
)
def test_the_check_below_sees_what_an_import_would_run(code, found):
    assert set(imported_at_module_level(ast.parse(code))) == found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_heavy_packages_at_its_top(module):
    # Opening the panel, or asking for help, must cost nothing. scene/ and panel/ load their own toolkits lazily from
    # above: nobody imports their inner modules without needing them.
    name = module.relative_to(ROOT / "LungCADLib")
    part = name.parts[0]
    allowed = {"scene": {"slicer", "vtk"}, "panel": {"slicer", "vtk", "qt"}}.get(part, set())
    if part == "training" and module.name != "__init__.py":
        allowed = {"sklearn", "torch"}
    if name.as_posix() in NETWORKS:
        allowed = {"torch", "monai"}
    top = set(imported_at_module_level(ast.parse(module.read_text(encoding="utf-8"))))
    assert not top & (HEAVY - allowed)


def modules_after(code: str) -> set[str]:
    """The top-level packages that Python has loaded after running some code."""
    code += "\nimport sys\nprint('LOADED', *sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in answer.stdout.split("LOADED")[-1].split()}


def test_help_loads_nothing_but_the_standard_library():
    loaded = modules_after("from LungCADLib.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass")
    assert "LungCADLib" in loaded
    assert not loaded & {"numpy", "scipy", "SimpleITK", "pydicom", "pydantic", "rich", *HEAVY}


def test_importing_the_road_and_its_engines_loads_no_network_library():
    assert not modules_after("import LungCADLib.pipeline, LungCADLib.jobs.run, LungCADLib.explain") & HEAVY


def test_importing_the_shared_words_loads_no_image_library():
    loaded = modules_after("import LungCADLib.study, LungCADLib.masks, LungCADLib.settings, LungCADLib.compute")
    assert not loaded & {"scipy", "SimpleITK", "pydicom", "pydantic", "rich", *HEAVY}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))


def test_every_declared_dependency_is_pinned():
    declared = [
        *project()["dependencies"],
        *(d for extra in project()["optional-dependencies"].values() for d in extra),
    ]
    names = {re.match(r"[\w.-]+", dependency)[0].lower().replace("_", "-") for dependency in declared}
    assert names <= pins().keys()


def test_torch_is_pinned_without_a_build():
    # "2.13.0" takes the CPU, CUDA and ROCm builds alike; "2.13.0+cpu" would refuse a GPU user's.
    assert pins()["torch"] == "2.13.0"
