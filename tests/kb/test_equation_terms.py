"""Terms of equations: where they stand, how they are marked, and what `kb check` says of them."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from kb import implementations
from kb.equation_terms import bind_terms, code_places, mark_terms, occurrences
from kb.equations import sections_with_equations
from kb.loader import Timeline
from kb.mathml import to_mathml
from kb.schema import Executable
from tests.kb.test_loader import GOOD, PAPER, check_problem, problems

TERM = r"{term: 'r \odot y', means: what is kept, code: 'r * y'}"
OTHER = r"{term: 'p\, W', means: smaller, code: 'self.p * y'}"
TIED = GOOD + PAPER.replace(
    "story: Why sex?", r"story: '$$\tilde y = r \odot \text{my } y, \qquad z = r \odot y + p\, W$$'"
).replace("impl: dropout", f"impl: dropout\n  code: [Dropout]\n  terms:\n  - {OTHER}\n  - {TERM}")


@pytest.mark.parametrize(
    ("equation", "term", "expected"),
    [
        (
            r"\hat x + x + x_i + y^x + \tilde{x}",
            "x",
            ["x"],
        ),  # not with an index, under a hat, as one
        (r"s_t = s_{t-1} + s_t", "s_t", ["s_t", "s_t"]),
        (r"\exp(x)", "x", ["x"]),  # the x of \exp is none
        (r"f'(x) = f(x)", "f", ["f"]),
        (r"f'(x) = f(x)", "(x)", ["(x)", "(x)"]),
        (r"p \, W", r"p\,W", [r"p \, W"]),  # spaces don't count
        (r"p\, W", "p W", []),
    ],
)
def test_a_term_is_found_where_it_stands_as_a_whole(
    equation: str, term: str, expected: list[str]
) -> None:
    assert [equation[start:end] for start, end in occurrences(equation, term)] == expected


def test_terms_are_marked_within_each_other() -> None:
    marked = mark_terms(r"\sigma(W x) + W x", ["W x", r"\sigma(W x)"])
    assert marked == r"\class{term-1}{\sigma(\class{term-0}{W x})} + \class{term-0}{W x}"


def test_limits_of_a_sum_stay_below_it_in_a_term() -> None:
    tree = to_mathml(mark_terms(r"y = \sum_j x_j", [r"\sum_j x_j"]))
    assert "<munder><mo>∑</mo><mi>j</mi></munder>" in ElementTree.tostring(tree, "unicode")


def test_code_that_is_there_twice_or_gone_ties_nothing() -> None:
    terms = [{"term": "x", "means": "", "code": code} for code in ("a", "b", "c")]
    assert code_places("a = b\nb = 1", "b") == [(0, 4), (1, 0)]
    [bound] = bind_terms(terms, ["x"], "a = b\nb = 1")
    assert (bound.code, bound.line, bound.start, bound.end) == ("a", 0, 0, 1)


def test_good_terms_have_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, TIED) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            r"term: 'r \odot y'",
            r"term: 'r \odot q'",
            r'38:12: "r \odot q" is a term of no displayed',
        ),
        ("  code: [Dropout]\n", "", "is a term of no displayed equation with `code`"),
        (r"term: 'r \odot y'", r"term: 'p\, W'", r'the term "p\, W" is given twice'),
        (r"term: 'r \odot y'", r"term: 'y + p'", 'begins or ends within "p\\, W"'),
        (r"term: 'r \odot y'", r"term: '\text{my'", 'is no whole part of "\\tilde y = '),
        ("code: 'r * y'", "code: 'r + y'", '38:52: "r + y" is not in Dropout of impl/dropout.py'),
        ("code: 'r * y'", "code: self", '"self" stands 6 times in Dropout of impl/dropout.py'),
        ("means: what is kept, ", "", '"means" is missing in'),
        ("means: what is kept", "mean: what is kept", 'unknown key "mean"; did you mean "means"?'),
    ],
)
def test_what_is_wrong_is_said_with_place_and_remedy(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in TIED
    check_problem(tmp_path, TIED.replace(old, new), expected)


def test_every_term_of_the_timeline_is_tied_to_its_code(timeline: Timeline) -> None:
    count = 0
    for milestone in timeline.milestones:
        if isinstance(milestone, Executable) and milestone.impl and milestone.terms:
            implementation = implementations.read(milestone.impl)
            entry = milestone.model_dump(by_alias=True)
            parts = sections_with_equations(entry, implementation)
            bound = {term.latex for part in parts for term in part.terms}
            assert bound == {term.term for term in milestone.terms}, milestone.id
            count += 1
    assert count >= 10
