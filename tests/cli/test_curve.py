import pytest

from charlm.cli.curve import curve


def test_one_line_falls_from_its_top_dots_to_its_bottom_ones():
    # eight columns of dots, two a cell: rows 1, 1, 2, 2, 3, 3, 4, 4
    assert curve([3, 3, 2, 2, 1, 1, 0, 0], 4, 1) == ["⠉⠒⠤⣀"]


def test_braille_dots_lie_where_the_values_are():
    # two columns of four dots: the first at the top (dot 1), the second at the bottom (dot 8) with the stroke
    # that joins them to within one dot: 4, 5 and 6 of the right column stand between
    assert curve([3, 0], 1, 2)[0][0] == chr(0x2800 + 0x01 + 0x10 + 0x20 + 0x80)


def test_a_flat_line_lies_at_the_bottom():
    assert curve([1, 1], 2, 1) == ["⣀⣀"]


@pytest.mark.parametrize("count", [1, 2, 3, 59, 60, 61, 1000])
@pytest.mark.parametrize("height", [1, 4])
def test_a_curve_fits_its_box(count, height):
    lines = curve([1 / (i + 1) for i in range(count)], 30, height)
    assert len(lines) == height
    assert {len(line) for line in lines} == {30}


def test_few_values_are_joined_by_lines():
    assert curve([7, 0], 4, 1) == curve([7, 6, 5, 4, 3, 2, 1, 0], 4, 1)


def test_no_values_no_curve():
    assert curve([], 30, 4) == []
