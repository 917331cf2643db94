"""The extension for Slicer: what CMake packs is what is in the tree, and it works from where it is installed.

CMake runs for real, against a stand-in for Slicer in Testing/slicer_stub.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import SimpleITK as sitk
from packaging.requirements import Requirement

from LungCADLib.jobs.events import Started, from_line
from LungCADLib.phantom.bundled import FILE, SHA256, bundled_phantom

ROOT = Path(__file__).resolve().parents[1]
MODULES = "lib/Slicer-5.12/qt-scripted-modules"
BROUGHT_BY_SLICER = {"numpy", "scipy", "simpleitk"}
ONLY_FOR_FILES_AND_COMMAND_LINE = {
    "rich": "the command line",
    "pylibjpeg": "compressed DICOM files, which Slicer decodes itself",
    "pylibjpeg-libjpeg": "compressed DICOM files",
    "pylibjpeg-openjpeg": "compressed DICOM files",
}


@pytest.fixture(scope="module")
def cmake():
    found = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if found is None:
        pytest.skip("CMake is not installed; pip install cmake")
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The tree without what git ignores; where there is no git, without caches."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    names = [name for name in answer.stdout.split("\0") if (ROOT / name).is_file()] if answer.returncode == 0 else []
    target = tmp_path_factory.mktemp("source") / "LungCAD"
    if not names:
        shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns("__pycache__", ".*", "out", "runs"))
        return target
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    return target


def run(*command, **options):
    answer = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def configured(cmake, source, build):
    # No compiler is needed for Python, and looking for one takes longer than all the rest.
    no_compiler = [
        option
        for language in ("C", "CXX")
        for option in (
            f"-DCMAKE_{language}_COMPILER={sys.executable}",
            f"-DCMAKE_{language}_COMPILER_FORCED=1",
            f"-DCMAKE_{language}_COMPILER_ID_RUN=1",
        )
    ]
    stub = ROOT / "Testing" / "slicer_stub"
    return run(cmake, "-S", source, "-B", build, f"-DSlicer_DIR={stub}", *no_compiler)


@pytest.fixture(scope="module")
def built(cmake, source, tmp_path_factory):
    build = tmp_path_factory.mktemp("build")
    configured(cmake, source, build)
    return build


@pytest.fixture(scope="module")
def installed(cmake, built, tmp_path_factory):
    """The folder in which module, library and resources lie side by side."""
    prefix = tmp_path_factory.mktemp("Extensions-33000") / "LungCAD"
    run(cmake, "--install", built, "--prefix", prefix)
    return prefix / MODULES


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def wanted(source):
    """What belongs into the extension: the module, the library, and what it reads."""
    library = {name for name in files(source) if re.match(r"LungCADLib/.*\.py$", name)}
    resources = {name for name in files(source) if re.match(r"Resources/(?!Screenshots/)", name)}
    assert len(library) > 100 and len(resources) > 10
    return {"LungCAD.py"} | library | resources


def test_nothing_of_the_tree_is_forgotten_in_the_package_and_nothing_else_is_in_it(installed, source):
    assert files(installed) == wanted(source)


def test_a_file_that_is_added_is_packed_without_touching_a_list(cmake, source, tmp_path):
    tree = tmp_path / "LungCAD"
    shutil.copytree(source, tree)
    (tree / "LungCADLib" / "new").mkdir()
    (tree / "LungCADLib" / "new" / "thing.py").touch()
    (tree / "Resources" / "Models" / "new.safetensors").touch()
    (tree / "Resources" / "Models" / ".DS_Store").touch()
    (tree / "LungCADLib" / "new" / "thing.pyc").touch()
    configured(cmake, tree, tmp_path / "build")
    run(cmake, "--install", tmp_path / "build", "--prefix", tmp_path / "prefix")
    added = files(tmp_path / "prefix" / MODULES) - wanted(source)
    assert added == {"LungCADLib/new/thing.py", "Resources/Models/new.safetensors"}


def test_the_build_tree_has_the_same_layout(built, installed):
    assert files(built / MODULES) == files(installed)


def test_every_data_file_the_library_may_ask_for_is_packed(installed):
    # Whatever is not Python would be left out of the library without a word.
    others = {
        path.name for path in (ROOT / "LungCADLib").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert others <= {"CMakeLists.txt"}


def test_every_test_that_slicer_runs_is_registered(built, source):
    listed = (built / "LungCAD" / "CTestTestfile.cmake").read_text() + (
        built / "Testing" / "Python" / "CTestTestfile.cmake"
    ).read_text()
    names = set(re.findall(r"add_test\(\[?=*\[?([\w]+)", listed))
    scripts = {path.stem for path in (source / "Testing" / "Python").glob("*Test.py")}
    assert names == {"py_LungCAD", "py_nomainwindow_qSlicerLungCADModuleGenericTest"} | {
        f"py_nomainwindow_{name}" for name in scripts
    }


def python_in(folder, code):
    """Python that has only this folder on its path besides its packages, as Slicer's has."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    return run(sys.executable, "-P", "-c", code, cwd=folder.parent).strip()


def test_the_installed_library_finds_its_resources(installed):
    code = """
import LungCADLib
from LungCADLib.resources import resource
print(LungCADLib.__file__)
print(resource("Models", "reader-model.json"))
print(resource("UI", "LungCAD.ui"))
print(resource("requirements.txt"))
"""
    places = [Path(line) for line in python_in(installed, code).splitlines()]
    resources = installed / "Resources"
    library = installed / "LungCADLib" / "__init__.py"
    wanted = [
        library,
        resources / "Models/reader-model.json",
        resources / "UI/LungCAD.ui",
        resources / "requirements.txt",
    ]
    assert places == wanted


def test_the_installed_worker_runs(installed, tmp_path):
    command = [sys.executable, "-m", "LungCADLib.jobs"]
    answer = subprocess.run(command, input=b"{}", capture_output=True, cwd=installed)
    started, failed = map(from_line, answer.stdout.splitlines())
    assert isinstance(started, Started) and failed.kind == "input", answer.stderr


def test_a_job_from_the_installed_folder_starts_the_worker_beside_it(installed, tmp_path):
    code = f"""
import time
from pathlib import Path
from LungCADLib.jobs import Job
job = Job(Path("gone.nrrd"), temporary=Path({str(tmp_path)!r}), environment={{}})
events = []
while job.running:
    events += job.poll()
    time.sleep(0.05)
print(events[-1].message)
print(job.log)
"""
    said = python_in(installed, code)
    assert "gone.nrrd" in said
    assert f"in {installed / 'LungCADLib'}, Python" in said


def index_entry():
    return json.loads((ROOT / "LungCAD.json").read_bytes())


def cmake_lists():
    return (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def test_the_index_entry_keeps_the_rules_of_the_index():
    # Slicer: Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json; index: scripts/check_description_files.py
    entry = index_entry()
    assert b"\r" not in (ROOT / "LungCAD.json").read_bytes()
    assert {"$schema", "category", "scm_url"} <= entry.keys()
    known = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "dicom_support_rule"}
    assert entry.keys() <= known | {"build_subdirectory", "enabled", "tier"}
    assert entry["scm_url"].startswith("https://")
    assert entry["scm_url"].rpartition("/")[2].startswith("Slicer")
    assert entry["build_dependencies"] == ["PyTorch"]
    assert 1 <= entry["tier"] <= 5
    assert (ROOT / "LICENSE").is_file()


def test_cmake_and_the_index_entry_say_the_same():
    # The first two expressions are those of the index's own check.
    text, entry = cmake_lists(), index_entry()
    (icon,) = re.findall(r'set\s*\(EXTENSION_ICONURL\s*"([^"]+)"[ ]*\)', text)
    (screenshots,) = re.findall(r'set\s*\(EXTENSION_SCREENSHOTURLS\s*"([^"]+)"\)', text)
    (project,) = re.findall(r"project\s*\(\s*([^\s\)\n\r]+)", text)
    (homepage,) = re.findall(r'EXTENSION_HOMEPAGE "([^"]+)"', text)
    (depends,) = re.findall(r'EXTENSION_DEPENDS "([^"]+)"', text)
    assert project == "LungCAD"
    assert homepage == entry["scm_url"]
    assert depends.split() == entry["build_dependencies"]
    raw = (
        entry["scm_url"].replace("https://github.com", "https://raw.githubusercontent.com")
        + f"/{entry['scm_revision']}/"
    )
    for url in [icon, *screenshots.split()]:
        assert url.startswith(raw) and (ROOT / url.removeprefix(raw)).is_file()


def requirements():
    lines = (ROOT / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {r.name: r for r in (Requirement(line) for line in lines if line and not line.startswith("#"))}


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    every = [*project["dependencies"], *project["optional-dependencies"]["networks"]]
    return {r.name.lower(): r for r in map(Requirement, every)}


def test_slicer_gets_every_package_the_library_needs():
    needed = declared().keys() - BROUGHT_BY_SLICER - ONLY_FOR_FILES_AND_COMMAND_LINE.keys()
    assert requirements().keys() == needed


def test_slicer_gets_what_the_tests_run_with_but_for_a_pydicom_that_reads_no_files_there():
    for name, requirement in requirements().items():
        assert requirement.specifier == declared()[name].specifier or name == "pydicom"


def test_slicers_packages_are_asked_for_by_a_lower_bound_alone():
    for requirement in requirements().values():
        assert [specifier.operator for specifier in requirement.specifier] == [">="], "a pin breaks other extensions"


def test_the_sample_data_are_what_makes_them_says():
    path = ROOT.joinpath("Resources", *FILE)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    assert SHA256 in (ROOT / "LungCAD" / "LungCAD.py").read_text(encoding="utf-8"), "where Slicer hears of it"
    assert path.stat().st_size < 4e6
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    # Another machine's rounding may tip a voxel over to the next step.
    assert (voxels == bundled_phantom().scan.hu).mean() > 0.999


def test_the_icon_is_one():
    icon = (ROOT / "Resources" / "Icons" / "LungCAD.png").read_bytes()
    # PNG (ISO/IEC 15948): signature, then IHDR with width, height, depth and color type 6, which has transparency.
    assert icon[:8] == b"\x89PNG\r\n\x1a\n" and icon[12:16] == b"IHDR"
    assert int.from_bytes(icon[16:20]) == int.from_bytes(icon[20:24]) == 128
    assert icon[25] == 6
