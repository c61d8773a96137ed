"""Imported literature on the page of a milestone."""

from pathlib import Path

from sqlalchemy import Engine

from kb.literature import importing
from tests.ui.pages import open_page, page_text


def test_a_milestone_tells_which_imported_works_are_it_or_mention_it(
    loaded: Engine, tmp_path: Path
) -> None:
    assert "imported literature" not in page_text(open_page("milestone", id="dropout"))
    bib = tmp_path / "some.bib"
    bib.write_text(
        "@misc{a, title={Dropout: A Simple Way to Prevent Neural Networks from Overfitting}, "
        "author={N. Srivastava}}\n@misc{b, title={Dropout in <b>teapots</b>}}"
    )
    importing.import_file(bib)
    text = page_text(open_page("milestone", id="dropout"))
    assert "In the imported literature" in text
    assert "Is this milestone: Dropout\\: A Simple Way" in text
    assert "Mentions it: Dropout in" in text and "<b>teapots" not in text
