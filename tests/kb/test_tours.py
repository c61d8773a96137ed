"""Tours: what is read, and that every fault is said with its place and its remedy."""

from pathlib import Path
from typing import Any

import pytest

from kb import loader
from kb.tours import file_beside, read_tours

ENTRIES: dict[str, dict[str, Any]] = {
    "backprop": {"claims": [{"id": "gradient"}], "code": ["learn"]},
    "cuda": {},
}
STEP = "    - {at: backprop, title: T, text: t, show: claims}\n"
TOUR = f"- id: a\n  title: A\n  about: b\n  steps:\n{STEP}"


def test_the_projects_own_tours_are_whole(timeline: loader.Timeline) -> None:
    entries = {m.id: m.model_dump(mode="json", by_alias=True) for m in timeline.milestones}
    found = read_tours(file_beside(), entries)
    assert found.problems == ()
    assert found.tours[0].id == "essay"
    ideas = [step.title for step in found.tours[0].steps if step.title.startswith("Idea ")]
    assert [title.split(":")[0] for title in ideas] == [f"Idea {n}" for n in range(1, 11)]


def test_no_file_is_no_tours(tmp_path: Path) -> None:
    assert read_tours(tmp_path / "tours.yaml", ENTRIES).tours == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1", 1, "tours are a list"),
        ("- 1", 1, "a tour is a mapping"),
        ("- id: a\n  title: A\n  about: b\n", 1, '"steps" is missing'),
        (TOUR + TOUR, 6, "taken by another tour"),
        (TOUR.replace("backprop", "bakprop"), 5, 'did you mean "backprop"'),
        (TOUR.replace("at: backprop", "at: cuda"), 5, "has no claims"),
        (TOUR.replace("at: backprop", "at: cuda").replace("claims", "equations"), 5, "no `code`"),
        (TOUR.replace("show: claims", "show: claim"), 5, 'did you mean "claims"'),
        (TOUR.replace("show: claims", "shows: claims"), 5, "unknown key"),
        (TOUR.replace("title: T", "to: cuda, title: T"), 5, "only `show: lineage`"),
        (
            TOUR.replace("claims}", "claims, question: {claim: gradent, ask: x}}"),
            5,
            'did you mean "gradient"',
        ),
    ],
)
def test_each_fault_is_said_with_its_place(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    file = tmp_path / "tours.yaml"
    file.write_text(text)
    found = read_tours(file, ENTRIES)
    assert any(p.line == line and message in p.message for p in found.problems), found.problems
    assert len(found.tours) == text.count("- id: a") - 1 or not found.tours


def test_a_tour_with_a_fault_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "tours.yaml"
    file.write_text(TOUR + TOUR.replace("id: a", "id: b").replace("backprop", "nothing"))
    assert [tour.id for tour in read_tours(file, ENTRIES).tours] == ["a"]
