"""The report's pictures as SVG: a gray picture inside, outline, marks and scale bar drawn over it."""

import base64
from html import escape

from LungCADLib.masks import BoxMask, Masks
from LungCADLib.pictures import Overview, View, overviews, png, view
from LungCADLib.scan import Scan
from LungCADLib.segments import nodule_color
from LungCADLib.study import Nodule, Study

_SIDE = 224
_SCALE_MM = 10
# The field shows the nodule with as much lung around it again on each side, never less than 5 cm.
_FIELD_PER_AXIS, _SMALLEST_FIELD_MM = 3.0, 50.0


def nodule_figures(scan: Scan, masks: Masks, nodule: Nodule, position: int) -> str:
    """Four pictures in a row: the axial slice without and with the outline, then the coronal and the sagittal one."""
    mask = masks.nodules.get(nodule.id)
    side = max(_SMALLEST_FIELD_MM, _FIELD_PER_AXIS * nodule.long_axis_mm)
    color = css_color(position)
    figures = []
    for plane in ("axial", "coronal", "sagittal"):
        picture = view(scan, plane, _shown(nodule, mask, scan), side, mask, _SIDE)  # type: ignore[arg-type]
        name = f"{nodule.id}-{plane}"
        image = f'<image id="{escape(name)}" width="{_SIDE}" height="{_SIDE}" href="{_data(png(picture.gray))}"/>'
        outline = f'<path class="outline" stroke="{color}" transform="scale({_SIDE})" d="{picture.outline}"/>'
        if plane == "axial":
            figures.append(_figure(picture, image, f"{plane.capitalize()}, plain", nodule))
            image = f'<use href="#{escape(name)}"/>'
        figures.append(_figure(picture, image + outline, f"{plane.capitalize()}, outlined", nodule))
    return f'<div class="views">{"".join(figures)}</div>'


def overview_figures(scan: Scan, study: Study, masks: Masks) -> str:
    """The lungs from the front and from the left, each nodule ringed and named."""
    front, side = overviews(scan, masks.lungs)
    texts = ("From the front: the patient's right is on the left", "From the patient's left: the chest faces left")
    figures = [_overview(picture, study, text) for picture, text in zip((front, side), texts, strict=True)]
    return f'<div class="overview">{"".join(figures)}</div>'


def css_color(position: int) -> str:
    """The color of the nodule at this position of the study's list."""
    return "#" + "".join(f"{round(255 * v):02x}" for v in nodule_color(position))


def _shown(nodule: Nodule, mask: BoxMask | None, scan: Scan) -> tuple[float, float, float]:
    """The nodule's center, on the slice where its long axis was measured, which is the one a reader looks at."""
    if len(nodule.axes_lps_mm) < 2:
        return nodule.center_lps_mm
    z = scan.geometry.to_index(nodule.axes_lps_mm[0])[0]
    index = scan.geometry.to_index(nodule.center_lps_mm)
    x, y, height = scan.geometry.to_lps((z, index[1], index[2]))
    return float(x), float(y), float(height)


def _figure(picture: View, content: str, caption: str, nodule: Nodule) -> str:
    length = _SCALE_MM / picture.side_mm * _SIDE
    bottom = _SIDE - 10
    line = f'x1="10" x2="{10 + length:.1f}" y1="{bottom}" y2="{bottom}"/>'
    scale = (
        f'<line class="scale under" {line}<line class="scale" {line}<text x="10" y="{bottom - 5}">{_SCALE_MM} mm</text>'
    )
    label = escape(f"Nodule {nodule.id}, {caption}")
    return (
        f'<figure><svg viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{label}">{content}{scale}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _overview(picture: Overview, study: Study, caption: str) -> str:
    rows, columns = picture.gray.shape
    marks = []
    for position, nodule in enumerate(study.nodules):
        row, column = picture.place(nodule.center_lps_mm)
        radius = max(7.0, 0.5 * nodule.long_axis_mm / picture.mm + 3)
        color = css_color(position)
        marks.append(
            f'<circle class="mark" stroke="{color}" cx="{column:.1f}" cy="{row:.1f}" r="{radius:.1f}"/>'
            f'<text x="{column + radius + 3:.1f}" y="{row + 3:.1f}">{escape(nodule.id)}</text>'
        )
    return (
        f'<figure><svg viewBox="0 0 {columns} {rows}" role="img" aria-label="{escape(caption)}">'
        f'<image width="{columns}" height="{rows}" href="{_data(png(picture.gray))}"/>{"".join(marks)}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _data(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
