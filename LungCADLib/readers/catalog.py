"""Which series are in a folder, which of them can be read as a chest CT, and which is the best one."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from LungCADLib.errors import InputError
from LungCADLib.readers.build import refuse_4d
from LungCADLib.readers.find import files_of
from LungCADLib.readers.headers import CT_CLASSES, FileHeader, Frame, read_header
from LungCADLib.readers.stack import Stack, arrange, orientation
from LungCADLib.readers.volumes import kind

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Kernels for bone and lung edges. Names are the vendors' habit, not a standard: Siemens B50f, Br59, Bl57 and up, GE and
# others in words, Philips letters, Canon FC30 and up. A wrong guess only changes which series is preferred.
SHARP_NAMES = ("LUNG", "BONE", "EDGE", "SHARP", "YB", "YC", "YD", "YE")
SHARP_PHILIPS = ("D", "E", "L")
# Not the chest whatever the values are (DICOM Body Part Examined, PS3.16 Annex L).
OTHER_BODY_PARTS = ("HEAD", "BRAIN", "SKULL", "SINUS", "ORBIT", "JAW", "PELVIS", "HIP", "KNEE", "LEG", "FOOT", "HAND")
# Points of preference: 50 mm of coverage up to a whole chest of 300 mm weighs as much as 1.25 mm of slice thickness.
POINT_COVERAGE_MM, ENOUGH_COVERAGE_MM = 50.0, 300.0
POINT_THICKNESS_MM, WORST_THICKNESS_MM = 1.25, 10.0
SHARP_POINTS = 0.5


@dataclass(frozen=True)
class SeriesInfo:
    """A DICOM series as a list shows it.

    Parameters
    ----------
    orientation
        `axial`, `coronal`, `sagittal`, `oblique` or `unknown`.
    slices
        Frames in the series' files.
    shape
        (slices, rows, columns) as acquired.
    spacing
        mm (between slices, rows, columns) as acquired, None where the headers do not say.
    usable, reason
        Whether it can be read as a CT volume, and otherwise why not.
    rank
        0 for the series `read_scan` prefers, then 1, 2, ...; None for one that cannot be read.
    """

    series_uid: str
    study_uid: str
    patient_id: str
    modality: str
    description: str
    orientation: str
    slices: int
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    slice_thickness_mm: float | None
    kernel: str
    files: tuple[Path, ...]
    usable: bool
    reason: str
    rank: int | None


@dataclass
class Series:
    """The files of one series, and the stack they make or the reason why they make none."""

    files: list[FileHeader]
    repeats: int = 0
    stack: Stack | None = None
    reason: str = ""

    @property
    def first(self) -> FileHeader:
        return self.files[0]

    @property
    def uid(self) -> str:
        return self.first.series_uid

    @property
    def frames(self) -> list[Frame]:
        return [frame for header in self.files for frame in header.frames]

    @property
    def name(self) -> str:
        """A few words for people: description, slices, distance."""
        words = [self.first.header.series_description or "no description", f"{len(self.frames)} slices"]
        if self.stack is not None:
            words.append(f"{self.stack.step:.2g} mm apart")
        return ", ".join(words)

    def info(self, rank: int | None) -> SeriesInfo:
        frame = next(iter(self.frames), None)
        step = self.stack.step if self.stack else None
        spacing = (step, *frame.spacing) if frame is not None and frame.spacing and step else None
        return SeriesInfo(
            series_uid=self.uid,
            study_uid=self.first.study_uid,
            patient_id=self.first.patient_id,
            modality=self.first.header.modality,
            description=self.first.header.series_description or "",
            orientation=orientation(self.stack.frames[0] if self.stack else frame) if frame is not None else "unknown",
            slices=len(self.frames),
            shape=(len(self.frames), frame.rows, frame.columns) if frame is not None else (0, 0, 0),
            spacing=spacing,
            slice_thickness_mm=frame.thickness if frame is not None else None,
            kernel=self.first.header.kernel or "",
            files=tuple(header.file for header in self.files),
            usable=self.stack is not None,
            reason=self.reason,
            rank=rank,
        )


@dataclass
class Catalog:
    """What a folder holds: its series, best first, and the files that should be DICOM but cannot be read.

    `uid` is the series meant when the path is one of its files.
    """

    path: Path
    uid: str | None = None
    series: list[Series] = field(default_factory=list)
    damaged: dict[Path, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)

    @property
    def usable(self) -> list[Series]:
        return [series for series in self.series if series.stack is not None]

    def infos(self) -> list[SeriesInfo]:
        return [series.info(rank if series.stack else None) for rank, series in enumerate(self.series)]


def catalog(path: Path, moved: Callable[[float], None] = lambda done: None) -> Catalog:
    """Read the headers of every DICOM file of a folder (nested), of a DICOMDIR, or beside one slice.

    Parameters
    ----------
    path
        A multi-frame file stands for itself, a single slice for its series in the same folder.
    moved
        Told the fraction done, 0 to 1.

    Raises
    ------
    InputError
        If the path does not exist, cannot be opened, or is a file that is not DICOM.
    """
    files, uid = files_of(path)
    found = Catalog(path, uid)
    headers: list[FileHeader] = []
    for i, file in enumerate(files):
        try:
            read = read_header(file)
        except InputError as error:
            found.damaged[file] = str(error)
        else:
            if read is None:
                found.others.append(file)
            else:
                headers.append(read)
        moved((i + 1) / len(files))
    found.series = group(headers)
    return found


def group(headers: list[FileHeader]) -> list[Series]:
    """Series of the headers, judged, best first; the ones that cannot be read come last."""
    series: dict[tuple[str, str], Series] = {}
    seen: set[str] = set()
    for header in headers:
        one = series.setdefault((header.patient_id, header.series_uid), Series([]))
        if header.sop_uid and header.sop_uid in seen:
            one.repeats += 1
            continue
        seen.add(header.sop_uid)
        one.files.append(header)
    judged = [one for one in series.values() if one.files]
    for one in judged:
        try:
            one.stack = _judge(one)
        except InputError as error:
            one.reason = str(error).rstrip(".")
    return sorted(judged, key=lambda one: (one.stack is None, *_preference(one), one.uid))


def _judge(series: Series) -> Stack:
    """The stack of the series' CT images; raises InputError with the reason why there is none."""
    reasons = [_not_ct(header) for header in series.files]
    images = [header for header, reason in zip(series.files, reasons, strict=True) if not reason]
    if not images:
        raise InputError(reasons[0])
    stack = arrange([frame for header in images for frame in header.frames])
    refuse_4d(stack)
    if others := len(reasons) - len(images):
        why = next(reason for reason in reasons if reason)
        return replace(stack, warnings=(f"{others} file(s) of the series were left out: {why}.", *stack.warnings))
    return stack


def _not_ct(header: FileHeader) -> str:
    """Why a file is not a CT image, or an empty string."""
    modality = header.header.modality
    if modality and modality != "CT":
        return f"it is {modality}, not CT"
    if header.sop_class.startswith(SECONDARY_CAPTURE):
        return "it is a secondary capture (a screenshot), not a CT"
    if header.sop_class and header.sop_class not in CT_CLASSES:
        return "it is not a CT image"
    if header.samples != 1:
        return "it is a color picture (RGB), not a CT"
    if any("PERFUSION" in frame.image_type for frame in header.frames):
        return "it is a perfusion map, not a CT in HU"
    return ""


def _preference(series: Series) -> tuple[bool, bool, bool, float]:
    """Sorts series: the chest, axial, not derived; then points for coverage, thin slices and a soft kernel."""
    stack = series.stack
    if stack is None:
        return True, True, True, 0.0
    coverage = min(float(stack.places[-1] - stack.places[0]), ENOUGH_COVERAGE_MM)
    thickness = min(max(stack.step, stack.frames[0].thickness or 0.0), WORST_THICKNESS_MM)
    points = coverage / POINT_COVERAGE_MM - thickness / POINT_THICKNESS_MM
    points -= SHARP_POINTS * sharp(series.first.header.kernel or "")
    words = f"{series.first.body_part} {series.first.header.series_description or ''}".upper()
    elsewhere = any(re.search(rf"\b{part}\b", words) for part in OTHER_BODY_PARTS) and "CHEST" not in words
    return elsewhere, orientation(stack.frames[0]) != "axial", "DERIVED" in stack.frames[0].image_type, -points


def sharp(kernel: str) -> bool:
    """Whether a convolution kernel sharpens edges (and noise)."""
    name = kernel.upper().split("\\")[0].strip()
    if match := re.match(r"FC(\d\d)", name):
        return int(match[1]) >= 30
    if match := re.match(r"[A-Z][A-Z]?(\d\d)", name):
        return int(match[1]) >= 50
    return name in SHARP_PHILIPS or any(name.startswith(sharp_name) for sharp_name in SHARP_NAMES)


def choose(found: Catalog, uid: str | None) -> tuple[Series, list[str]]:
    """The series to read and warnings about the choice.

    Raises
    ------
    InputError
        If nothing there can be read, `uid` is not there or cannot be read, or different patients lie side by side.
    """
    if uid is not None:
        return _asked_for(found, uid), []
    usable = found.usable
    if not usable:
        raise InputError(_nothing(found))
    patients = {one.first.patient_id or one.first.study_uid for one in usable}
    if len(patients) > 1:
        listed = "; ".join(f"{one.uid} (patient {one.first.patient_id or 'unnamed'}, {one.name})" for one in usable[:8])
        more = f" and {len(usable) - 8} more" if len(usable) > 8 else ""
        raise InputError(
            f"{found.path} holds CT series of {len(patients)} patients; pass --series with one of: {listed}{more}."
        )
    best, *others = usable
    if not others:
        return best, []
    listed = ", ".join(f"{one.uid} ({one.name})" for one in others[:4])
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    return best, [
        f"{len(usable)} CT series were found and {best.uid} ({best.name}) was read; "
        f"pass --series to read another: {listed}{more}."
    ]


def _asked_for(found: Catalog, uid: str) -> Series:
    matching = [one for one in found.series if one.uid == uid]
    if not matching:
        there = ", ".join(one.uid for one in found.series[:8]) or "none"
        raise InputError(f"{found.path} holds no series {uid}; there are: {there}.")
    if matching[0].stack is None:
        raise InputError(f"Series {uid} in {found.path} cannot be read: {matching[0].reason}.")
    return matching[0]


def _nothing(found: Catalog) -> str:
    """Why no series can be read, in one sentence."""
    if found.series:
        if len(found.series) == 1:
            one = found.series[0]
            where = one.first.file if found.path.is_file() else found.path
            return f"{where} holds no readable chest CT: {one.reason}."
        reasons = "; ".join(
            f"{one.first.header.series_description or one.uid}: {one.reason}" for one in found.series[:5]
        )
        more = f"; and {len(found.series) - 5} more" if len(found.series) > 5 else ""
        return f"{found.path} holds {len(found.series)} series and none is a readable chest CT ({reasons}{more})."
    if found.damaged:
        return next(iter(found.damaged.values()))
    volumes = [file for file in found.others if kind(file)]
    if volumes:
        return f"{found.path} holds no DICOM files; to read a volume give the file itself, such as {volumes[0]}."
    if found.others:
        return (
            f"{found.path} holds {len(found.others)} file(s) but none is DICOM; give a DICOM folder or a volume file."
        )
    return f"{found.path} is empty; give a DICOM folder or a volume file."


def refuse_damaged(found: Catalog, series: Series) -> None:
    """Refuse a series beside which a file lies that should belong to it but cannot be read.

    Raises
    ------
    InputError
        Naming the file.
    """
    folders = {header.file.parent for header in series.files}
    endings = {_ending(header.file) for header in series.files}
    for file, sentence in found.damaged.items():
        if file.parent in folders and _ending(file) in endings:
            raise InputError(sentence)


def _ending(file: Path) -> str:
    """The file's suffix; none where the name is a UID or ends in a number."""
    suffix = file.suffix.lower()
    return "" if suffix[1:].isdigit() else suffix
