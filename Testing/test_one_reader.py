"""One reader against the rest, by hand."""

from LungCADLib.evaluation.one_reader import one_against_the_rest


def test_every_reader_of_four_stands_once_against_the_median_of_the_others():
    found = one_against_the_rest([(1, 2, 4, 5), (4, 4, 4), (1, 3, 3, 5)], ["A", "B", "C"])
    # A: 1 against (2, 4, 5), 2 against (1, 4, 5), 4 against (1, 2, 5), 5 against (1, 2, 4). B has three readers only;
    # of C every median is 3.
    assert found.rating.tolist() == [1, 2, 4, 5]
    assert found.suspicious.tolist() == [True, True, False, False]
    assert found.patient.tolist() == ["A"] * 4


def test_nobody_to_compare_is_no_row():
    assert len(one_against_the_rest([(1, 2)], ["A"]).rating) == 0
