"""nodules.csv: one row per nodule, RFC 4180, names that carry their units."""

import csv
import io
import math

import pytest
from study_factory import make_scan, make_study

from LungCADLib.columns import COLUMNS, RISK_EQUATIONS, as_text, rows
from LungCADLib.report.tables import write_csv


@pytest.fixture(scope="module")
def study():
    return make_study(make_scan())


@pytest.fixture
def table(study, tmp_path) -> list[dict[str, str]]:
    write_csv(study.nodules, tmp_path / "nodules.csv")
    return list(csv.DictReader(io.StringIO((tmp_path / "nodules.csv").read_bytes().decode("utf-8"))))


def test_one_row_per_nodule_in_the_studys_order(study, table):
    assert [row["id"] for row in table] == [nodule.id for nodule in study.nodules]


def test_the_file_starts_with_the_header_and_ends_lines_as_rfc_4180_says(study, tmp_path):
    write_csv(study.nodules, tmp_path / "nodules.csv")
    data = (tmp_path / "nodules.csv").read_bytes()
    assert data.startswith(b"id,score,center_x_lps_mm,center_y_lps_mm,center_z_lps_mm,long_axis_mm,")
    assert data.count(b"\r\n") == data.count(b"\n") == 1 + len(study.nodules)


def test_the_numbers_are_the_studys(study, table):
    nodule, row = study.nodules[0], table[0]
    for axis, name in enumerate("xyz"):
        assert float(row[f"center_{name}_lps_mm"]) == pytest.approx(nodule.center_lps_mm[axis], abs=5e-5)
    assert float(row["volume_mm3"]) == pytest.approx(nodule.volume_mm3, abs=5e-5)
    assert row["long_axis_mm"] == "17.9"
    assert row["solid_fraction"] == "1"
    assert row["attenuation_mean_hu"] == "30.1"
    assert (row["suspicion"], row["suspicion_low"], row["suspicion_high"]) == ("0.71", "0.55", "0.83")


def test_risks_are_in_percent_with_their_range(table):
    assert table[0]["brock_2b_percent"] == "12"
    assert (table[0]["brock_2b_low_percent"], table[0]["brock_2b_high_percent"]) == ("5", "31")


def test_what_nobody_said_is_empty(table):
    assert table[0]["herder_percent"] == ""
    assert table[2]["suspicion"] == table[2]["suspicion_meaning"] == table[2]["lung_rads"] == ""


def test_commas_and_quotes_survive(study, table):
    assert table[0]["warnings"] == "; ".join(study.nodules[0].warnings)
    assert table[0]["location"] == "right upper lobe, central"


def test_a_study_without_nodules_has_a_header_alone(tmp_path):
    write_csv([], tmp_path / "nodules.csv")
    lines = (tmp_path / "nodules.csv").read_text(encoding="utf-8").splitlines()
    assert lines == [",".join(column.name for column in COLUMNS)]


def test_names_are_unique_and_end_in_their_unit():
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    ends = {"mm": "_mm", "mm2": "_mm2", "mm3": "_mm3", "mg": "_mg", "%": "_percent", "[hnsf'U]": "_hu"}
    for column in COLUMNS:
        if column.unit in ends:
            assert column.name.endswith(ends[column.unit]), column.name
        assert column.description


def test_every_cell_has_its_columns_type(study):
    for row in rows(study.nodules):
        for column, cell in zip(COLUMNS, row, strict=True):
            assert cell is None or isinstance(cell, int | float if column.kind is float else column.kind), column.name


def test_every_risk_equation_has_a_column():
    names = {column.name for column in COLUMNS}
    assert {f"{equation}_percent" for equation in RISK_EQUATIONS} <= names


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, ""), (True, "yes"), (False, "no"), (3.0, "3"), (-0.00001, "0"), (0.1 + 0.2, "0.3"), (1e6, "1000000")],
)
def test_cells_as_text(cell, text):
    assert as_text(cell) == text


def test_a_large_number_is_not_cut():
    assert math.isclose(float(as_text(123456.78906)), 123456.7891)
