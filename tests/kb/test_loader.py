"""Checking a timeline: every rule's error, at its place, with its remedy; all of them in one go."""

from pathlib import Path

import pytest

from kb import implementations, loader, places

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


def problems(tmp_path: Path, text: str, folder: Path = places.IMPLEMENTATIONS) -> list[str]:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    return [str(problem).removeprefix(f"{path}:") for problem in loader.load(path, folder).problems]


def test_a_good_timeline_has_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + PAPER) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("title: The MNIST", "titel: The MNIST", '4:3: unknown key "titel"; did you mean "title"?'),
        ("  date: \"1998\"\n", "", '1:3: "date" is missing for a dataset'),
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
        ("authors: [Yann LeCun]", "authors: Yann LeCun", '17:12: "authors" must be a list, as in ["Yann LeCun"]'),
        ("authors: [Yann LeCun]", "authors: []", '17:12: "authors" is empty; it needs at least one'),
        ("idea: Digits.", 'idea: ""', '7:9: "idea" is empty'),
        ("https://example.org/mnist", "example.org", '9:19: "example.org" is not a web address'),
        ('read: "2026-01-31"', 'read: "2026-01"', '9:54: "2026-01" must be a whole day'),
        ('"1998-11"', '"1997-11"', '20:16: "mnist" (1998) came later than "lenet5" (1997-11); turn the link round'),
        ("how: compares on it", "why_later: because", '20:41: "mnist" didn\'t come later; remove `why_later`'),
        ("  links: [{to: mnist, as: evaluated_on, how: compares on it}]\n", "", 'warning: "mnist" is linked to nothing'),
        ("  authors:", "  arxiv: 1207.0580v2\n  authors:", '17:10: "1207.0580v2" is not an arXiv identifier'),
        ("  authors:", "  doi: https://doi.org/10.1/x\n  authors:", '17:8: "https://doi.org/10.1/x" is not a DOI'),
    ],
)  # fmt: skip
def test_every_rule_names_place_and_remedy(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("impl: dropout", "impl: droput", '34:9: there is no impl/droput.py; did you mean "dropout"?'),
        ("  impl: dropout\n", "", '"impl" is missing for a paper'),
        ("id: data-size", "id: data-siz", 'impl/dropout.py measures no claim "data-siz"; did you mean "data-size"?'),
        ("    - {id: data-size, says: more then less, where: Sec. 7.4}\n", "", 'the claim "data-size", which no entry names'),
        ("id: data-size", "id: weight-scaling", 'the claim "weight-scaling" is given twice'),
        (", where: Table 2", "", '"where" is missing in'),
        ("impl: dropout", "impl: dropout\n  code: [train]", "one name for each equation that the story displays: 0, not 1"),
        ("impl: dropout", "impl: dropout\n  code: [trian]", 'no function or class "trian"; did you mean "train"?'),
    ],
)  # fmt: skip
def test_papers_and_implementations_must_agree(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = GOOD + PAPER
    assert old in text
    found = problems(tmp_path, text.replace(old, new, 1))
    assert any(expected in problem for problem in found), found


def test_all_the_errors_come_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("title: The", "titel: The").replace("to: mnist", "to: mnits").replace('"1998-11"', '"1998-11-31"')
    )
    assert len([p for p in problems(tmp_path, text) if "warning" not in p]) >= 3


def test_a_circle_of_builds_on_is_named(tmp_path: Path) -> None:
    text = GOOD.replace('"1998-11"', '"1998"').replace("evaluated_on", "builds_on")
    text = text.replace("  story: Once.\n", "  story: Once.\n  links: [{to: lenet5, as: builds_on}]\n")
    assert any("builds_on runs in a circle" in problem for problem in problems(tmp_path, text))


def test_a_broken_implementation_is_an_error_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "impl").mkdir()
    (tmp_path / "impl" / "dropout.py").write_text("def (")
    assert any("invalid syntax" in problem for problem in problems(tmp_path, GOOD + PAPER, tmp_path / "impl"))


@pytest.mark.parametrize("text", ["", "a: 1", "- 1\n- 2", "just words", "- [a]"])
def test_what_is_no_timeline_says_so(tmp_path: Path, text: str) -> None:
    assert any("a timeline is a list" in p or "a milestone is a mapping" in p for p in problems(tmp_path, text))


class TestImplementations:
    """What is read from a file with `ast`."""

    def test_sections_of_the_docstring(self) -> None:
        doc = "Title.\n\nClaims      a-b  first\n                 goes on\n            c  second (Table 1)\nLeft out    much"
        parts = implementations.doc_sections(doc)
        assert parts["Left out"] == "much"
        assert "goes on" in parts["Claims"]

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("x = 1", "no docstring"),
            ('"""Title."""', 'no section "Claims"'),
            ('"""T.\n\nClaims      a  b\n"""', "no class Config"),
            ('"""T.\n\nClaims      a  b\n"""\nclass Config:\n    lr: float = 0.1 * 2\n', "is not a literal"),
            ('"""T.\n\nClaims      a  b\n"""\nclass Config:\n    lr: float\n', "has no default"),
            ('"""T.\n\nClaims      a  b\n"""\nclass Config:\n    lr: float = 0.1\n', "no PRESETS"),
            (
                '"""T.\n\nClaims      a  b\n"""\nclass Config:\n    lr: float = 0.1\nPRESETS = {"quick": Config()}\n',
                "PRESETS lacks smoke, full, paper",
            ),
        ],
    )
    def test_a_file_that_breaks_the_contract_is_named(self, tmp_path: Path, source: str, message: str) -> None:
        (tmp_path / "x.py").write_text(source)
        with pytest.raises(implementations.Malformed, match=message):
            implementations.read("x", tmp_path)

    def test_settings_are_parsed_by_their_type(self) -> None:
        read = implementations.read("dropout")
        changes = {"n": "500", "p_hidden": "1", "data": "digits", "sizes": "50,100", "rates": "0.1"}
        parsed = implementations.parse_settings(read, "quick", changes)
        assert parsed == {"n": 500, "p_hidden": 1.0, "data": "digits", "sizes": (50, 100), "rates": (0.1,)}
        for bad in ({"n": "many"}, {"n": "1.5"}, {"m": "1"}, {"p_hidden": "'x'"}):
            with pytest.raises(ValueError, match=next(iter(bad))):
                implementations.parse_settings(read, "quick", bad)
        with pytest.raises(ValueError, match="no preset 'fast'"):
            implementations.parse_settings(read, "fast", {})
