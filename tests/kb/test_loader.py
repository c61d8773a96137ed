"""Checking a timeline: the error of every rule has a place and a remedy, and all come at once."""

from pathlib import Path

import pytest

from kb import loader, paths

GOOD = """\
- id: mnist
  track: data
  kind: dataset
  title: The MNIST database
  short: MNIST
  date: "1998"
  idea: Digits.
  story: Once.
  sources: [{url: "https://example.org/mnist", read: "2026-01-31"}]

- id: lenet5
  track: theory
  kind: article
  title: An article
  short: LeNet
  date: "1998-11"
  authors: [Yann LeCun]
  idea: Share weights.
  story: Then.
  links: [{to: mnist, as: evaluated_on, how: compares on it}]
  sources: [{url: "https://example.org/lenet", read: "2026-01-31"}]
"""
PAPER = """
- id: dropout-again
  track: theory
  kind: paper
  title: Dropout
  short: Dropout
  date: "2014-06"
  authors: [Nitish Srivastava]
  venue: JMLR
  idea: Switch off half.
  story: Why sex?
  links: [{to: mnist, as: evaluated_on}]
  impl: dropout
  claims:
    - {id: lower-test-error, says: fewer errors, where: Table 2}
    - {id: weight-scaling, says: scaled, where: Sec. 4}
    - {id: data-size, says: more then less, where: Sec. 7.4}
  sources: [{url: "https://example.org/d", read: "2026-01-31"}]
"""


# A change of GOOD, as old and new text, and the problem that it causes.
RULES = [
    ("title: The MNIST", "titel: The MNIST", '4:3: unknown key "titel"; did you mean "title"?'),
    ('  date: "1998"\n', "", '1:3: "date" is missing for a dataset'),
    ('"1998"', "1998", '6:9: "date" must be text, not 1998; quote it: "1998"'),
    ('"1998"', '"1998-13"', '6:9: "1998-13" is not in the calendar'),
    ('"1998"', '"98"', '6:9: "98" is not a date'),
    ("kind: dataset", "kind: datset", "3:9: 'datset' is no kind; did you mean \"dataset\"?"),
    ("  kind: dataset\n", "", '1:3: "kind" is missing; it is one of'),
    ("track: data", "track: theory", "2:10: \"theory\" is none of 'data'"),
    ("id: mnist", "id: MNIST", '1:7: "MNIST" is no id; use small letters'),
    ("id: lenet5", "id: mnist", '11:7: the id "mnist" is taken, in line 1'),
    ("to: mnist", "to: mnits", '20:16: no milestone has the id "mnits"; did you mean "mnist"?'),
    ("to: mnist", "to: lenet5", "20:16: a milestone can't be linked to itself"),
    ("as: evaluated_on", "as: evaluated_at", '20:27: "evaluated_at" is none of'),
    (
        "authors: [Yann LeCun]",
        "authors: Yann LeCun",
        '17:12: "authors" must be a list, as in ["Yann LeCun"]',
    ),
    (
        "authors: [Yann LeCun]",
        "authors: []",
        '17:12: "authors" is empty; it needs at least one',
    ),
    ("idea: Digits.", 'idea: ""', '7:9: "idea" is empty'),
    ("https://example.org/mnist", "example.org", '9:19: "example.org" is not a web address'),
    ('read: "2026-01-31"', 'read: "2026-01"', '9:54: "2026-01" must be a whole day'),
    (
        '"1998-11"',
        '"1997-11"',
        '20:16: "mnist" (1998) came later than "lenet5" (1997-11); turn the link round',
    ),
    (
        "how: compares on it",
        "why_later: because",
        '20:41: "mnist" didn\'t come later; remove `why_later`',
    ),
    (
        "  links: [{to: mnist, as: evaluated_on, how: compares on it}]\n",
        "",
        'warning: "mnist" is linked to nothing',
    ),
    (
        "  authors:",
        "  arxiv: 1207.0580v2\n  authors:",
        '17:10: "1207.0580v2" is not an arXiv identifier',
    ),
    (
        "  authors:",
        "  doi: https://doi.org/10.1/x\n  authors:",
        '17:8: "https://doi.org/10.1/x" is not a DOI',
    ),
]
# The same of GOOD + PAPER.
PAPER_RULES = [
    (
        "impl: dropout",
        "impl: droput",
        '34:9: there is no impl/droput.py; did you mean "dropout"?',
    ),
    ("  impl: dropout\n", "", '"impl" is missing for a paper'),
    (
        "id: data-size",
        "id: data-siz",
        'impl/dropout.py measures no claim "data-siz"; did you mean "data-size"?',
    ),
    (
        "    - {id: data-size, says: more then less, where: Sec. 7.4}\n",
        "",
        'the claim "data-size", which no entry names',
    ),
    ("id: data-size", "id: weight-scaling", 'the claim "weight-scaling" is given twice'),
    (", where: Table 2", "", '"where" is missing in'),
    (
        "impl: dropout",
        "impl: dropout\n  code: [trial]",
        "one name for each equation that the story displays: 0, not 1",
    ),
    (
        "impl: dropout",
        "impl: dropout\n  code: [trail]",
        'no function or class "trail"; did you mean "trial"?',
    ),
]


def problems(tmp_path: Path, text: str, folder: Path = paths.IMPLEMENTATIONS) -> list[str]:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    timeline = loader.read_timeline(path, folder)
    return [str(problem).removeprefix(f"{path}:") for problem in timeline.problems]


def check_problem(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert any(expected in problem for problem in found), found


def test_a_good_timeline_has_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + PAPER) == []


@pytest.mark.parametrize(("old", "new", "expected"), RULES)
def test_every_rule_names_place_and_remedy(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in GOOD
    check_problem(tmp_path, GOOD.replace(old, new, 1), expected)


@pytest.mark.parametrize(("old", "new", "expected"), PAPER_RULES)
def test_papers_and_implementations_must_agree(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    text = GOOD + PAPER
    assert old in text
    check_problem(tmp_path, text.replace(old, new, 1), expected)


def test_all_errors_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("title: The", "titel: The").replace("to: mnist", "to: mnits")
    text = text.replace('"1998-11"', '"1998-11-31"')
    assert len([p for p in problems(tmp_path, text) if "warning" not in p]) >= 3


def test_a_cycle_of_builds_on_is_named(tmp_path: Path) -> None:
    text = GOOD.replace('"1998-11"', '"1998"').replace("evaluated_on", "builds_on")
    link = "  links: [{to: lenet5, as: builds_on}]\n"
    text = text.replace("  story: Once.\n", f"  story: Once.\n{link}")
    check_problem(tmp_path, text, "builds_on runs in a circle")


def test_an_implementation_with_a_syntax_error_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "impl").mkdir()
    (tmp_path / "impl" / "dropout.py").write_text("def (")
    found = problems(tmp_path, GOOD + PAPER, tmp_path / "impl")
    assert any("invalid syntax" in problem for problem in found)


@pytest.mark.parametrize("text", ["", "a: 1", "- 1\n- 2", "just words", "- [a]"])
def test_a_file_that_is_no_timeline_says_what_one_is(tmp_path: Path, text: str) -> None:
    found = " ".join(problems(tmp_path, text))
    assert "a timeline is a list" in found or "a milestone is a mapping" in found


def test_strictly_an_entry_has_what_a_reader_needs_to_trust_it(tmp_path: Path) -> None:
    file = tmp_path / "timeline.yaml"
    text = GOOD.replace("short: MNIST", "short: The MNIST database of digits")
    text = text.replace(", how: compares on it", "")
    text = text.replace('lenet", read', 'lenet", primary: true, read')
    file.write_text(text)
    assert not loader.read_timeline(file).errors
    found = [
        (problem.line, problem.message)
        for problem in loader.read_timeline(file, strict=True).errors
    ]
    assert [line for line, _ in found] == [5, 9, 20]
    for words, (_, message) in zip(("at most 22", "primary: true", "`how`"), found, strict=True):
        assert words in message
