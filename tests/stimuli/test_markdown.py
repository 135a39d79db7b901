"""Tables of cards and reports are Markdown."""

from samediff_stimuli.markdown import code, markdown_table, plain


def test_a_table_keeps_its_cells_apart():
    """A bar in a head or a cell is escaped, so that every line has a cell for each head."""
    text = markdown_table(["a", "b|c"], [["1 | 2", ""], ("x", "y")])
    assert text == "| a | b\\|c |\n| --- | --- |\n| 1 \\| 2 |  |\n| x | y |"


def test_a_table_without_rows():
    """A table may have a head only."""
    assert markdown_table(["a"], iter(())) == "| a |\n| --- |"


def test_words_are_shown_as_they_are():
    """What Markdown or HTML would read as markup is escaped; other words stay."""
    assert plain("a_b __c__ <img src=x> & [x](y) *z* `c` \\") == (
        "a_b \\_\\_c\\_\\_ &lt;img src=x&gt; &amp; \\[x\\](y) \\*z\\* \\`c\\` \\\\"
    )
    assert plain("different, 12 of 3.5 (x|y) #1 - z") == "different, 12 of 3.5 (x|y) #1 - z"
    assert [code(text) for text in ("same", "a`b", "`", "a``")] == [
        *("`same`", "``a`b``", "`` ` ``", "``` a`` ```")
    ]
