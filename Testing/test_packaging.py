"""The wheel holds the whole package with its resources, and works from where it is installed."""

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import LungCADLib
from LungCADLib.cli import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built by the project's own backend, without asking the package index."""
    out = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(out)!r}))"
    built = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return out / built.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel alone."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    answer = subprocess.run([*pip, "--target", target, wheel], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return target


def tracked(folder):
    """Files of a folder that git knows; where there is no git, every file but caches."""
    answer = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True)
    listed = [name for name in answer.stdout.splitlines() if (ROOT / name).is_file()]
    found = [p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*") if p.is_file()]
    return listed or [name for name in found if "__pycache__" not in name]


def run_from(target, code):
    """Python without this checkout on its path; the packages LungCAD needs come from this environment."""
    code = f"import sys; sys.path.insert(0, {str(target)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", code], cwd=target, capture_output=True, text=True)


def test_the_wheel_holds_every_module_and_resource_and_nothing_of_the_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules, resources = tracked("LungCADLib"), tracked("Resources")
    assert len(modules) > 50
    assert len(resources) > 3
    assert set(modules) <= names
    assert {f"LungCADLib/{name}" for name in resources} <= names
    top = {name.split("/")[0] for name in names}
    assert top == {"LungCADLib", f"lungcadlib-{LungCADLib.__version__}.dist-info"}


def test_the_package_index_would_take_the_wheel(wheel):
    assert wheel.stat().st_size < 100e6  # https://docs.pypi.org/project-management/storage-limits/


def test_the_installed_package_finds_its_own_resources(installed):
    code = """
        from LungCADLib.resources import resource
        from LungCADLib.detection.blob_detector import score_model
        score_model()
        print(resource("Models", "reader-model.json"))
    """
    answer = run_from(installed, "\n".join(line.strip() for line in code.splitlines()))
    assert answer.returncode == 0, answer.stderr
    assert Path(answer.stdout.strip()) == installed / "LungCADLib" / "Resources" / "Models" / "reader-model.json"


def test_the_installed_command_answers(installed):
    answer = run_from(installed, 'from LungCADLib.cli import main; sys.exit(main(["models"]))')
    assert answer.returncode == 0, answer.stderr
    assert "blobs" in answer.stdout


def test_the_console_command_is_the_same_function():
    (command,) = entry_points(group="console_scripts", name="lungcad")
    assert command.load() is main


def test_a_resource_that_is_nowhere_is_named_with_the_places_looked_at():
    from LungCADLib.resources import resource

    with pytest.raises(
        FileNotFoundError, match=r"Models/none\.json is missing \(looked in .*Resources and .*Resources\)"
    ):
        resource("Models", "none.json")
