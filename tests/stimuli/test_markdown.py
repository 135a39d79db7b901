"""Tables of cards and reports are Markdown."""

from samediff_stimuli.markdown import markdown_table


def test_a_table_keeps_its_cells_apart():
    """A bar in a head or a cell is escaped, so that every line has a cell for each head."""
    text = markdown_table(["a", "b|c"], [["1 | 2", ""], ("x", "y")])
    assert text == "| a | b\\|c |\n| --- | --- |\n| 1 \\| 2 |  |\n| x | y |"


def test_a_table_without_rows():
    """A table may have a head only."""
    assert markdown_table(["a"], iter(())) == "| a |\n| --- |"
