"""Terms of equations beside their code: what the component gets, on pages and in the site."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from kb import db, implementations
from kb.equation_terms import BoundTerm
from kb.equations import sections_with_equations
from kb.exports.html_page import markdown_renderer
from kb.implementations import Section
from tests.ui.pages import open_page, page_text
from ui.site import milestone_parts
from ui.terms import terms_data

SECTION = Section("f", "Doc.", "def f(x):\n    return sqrt(x - mean)  # <b>", 1, 9, ("Eq. 1",))


def drawn(app: AppTest) -> list[dict[str, Any]]:
    """The data of all components that draw terms."""
    elements = [element for element in app.main if element.type == "bidi_component"]
    return [json.loads(one.proto.json) for one in elements if one.proto.component_name == "terms"]


@pytest.mark.parametrize(
    "query", [{"id": "dropout"}, {"id": "dropout", "lecture": "1", "slide": "2"}]
)
def test_a_milestone_and_a_lecture_show_terms_in_equation_words_and_code(
    loaded: Engine, query: dict[str, str]
) -> None:
    [data] = drawn(open_page("milestone", **query))
    assert "term-1" in json.dumps(data["equations"])
    assert data["terms"][1]["means"] == "the units that are kept; the others are zero"
    [line] = [line for line in data["lines"] if 1 in line["terms"]]
    assert "".join(text for text, *_ in line["pieces"]) == "        return r * y"
    assert [text for text, _, own, _ in line["pieces"] if 1 in own] == ["r", " ", "*", " ", "y"]


def test_the_step_of_a_tour_shows_them_with_the_code_below(loaded: Engine) -> None:
    [data] = drawn(open_page("tour", id="to-the-transformer", step="1"))[:1]
    assert data["stacked"] and data["terms"]


def test_without_terms_the_equation_stands_beside_its_code(loaded: Engine) -> None:
    app = open_page("milestone", id="mask-rcnn")
    [data] = drawn(app)
    assert "bilinear" not in json.dumps(data)
    assert any("a ramp in" in element.value for element in app.latex)
    assert "def bilinear(" in page_text(app)


def test_pieces_lie_within_each_other_and_keep_the_text() -> None:
    terms = [
        BoundTerm("a", "", "sqrt(x - mean)", 1, 11),
        BoundTerm("b", "", "x - mean", 1, 16),
        BoundTerm("c", "", "x - mean", 1, 16),
    ]
    data = terms_data(SECTION, ["a = b"], terms, stacked=False)
    [_, line] = data["lines"]
    assert "".join(text for text, *_ in line["pieces"]) == SECTION.code.splitlines()[1]
    lights = {text: lights for text, _, _, lights in line["pieces"]}
    assert lights["sqrt"] == [0], "the outer term"
    assert lights["x"] == [1, 2], "the inner ones, which have the same code"
    assert lights["return"] == []


def test_what_is_no_latex_is_text() -> None:
    data = terms_data(SECTION, [r"\frac{", r"\href{javascript:alert(1)}{x}"], [], stacked=False)
    wrong, link = data["equations"]
    assert wrong == ["math", {}, "", [["mtext", {}, r"\frac{", []]]]
    assert "javascript" not in json.dumps(link)


def test_a_site_without_scripts_has_the_section_itself(loaded: Engine) -> None:
    row = db.milestone(loaded, "dropout")
    assert row
    implementation = implementations.read("dropout")
    [section] = milestone_parts.sections(row.entry, implementation, markdown_renderer())
    [part] = sections_with_equations(row.entry, implementation)
    assert len(section.equations) == len(part.equations) and "class" in section.code
    assert section.terms and len(section.terms["terms"]) == len(part.terms)
