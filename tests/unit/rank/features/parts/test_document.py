"""The documentation of the features is what the code says."""

from pathlib import Path

import pytest

from genrec.rank.features.parts.document import BEGIN, END, written

PAGE = Path(__file__).parents[5] / "docs" / "ranking.md"


def test_the_table_of_the_page_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "run make manual"


def test_only_the_table_changes():
    page = written(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "| text | `text_last` |" in page
    assert "old" not in page
    with pytest.raises(ValueError, match="features: begin"):
        written("no marks")
