"""`kb new paper`: the draft that it writes, and how a draft is checked."""

import dataclasses
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from kb import implementations, loader, paths, skeleton

FIELDS = ("title", "short", "authors", "venue", "idea", "story", "claims", "sources")


@dataclasses.dataclass(frozen=True)
class Copy:
    """A copy of the timeline and of the implementations."""

    timeline: Path
    folder: Path

    def create(self, name: str, date: str = "") -> list[str]:
        return skeleton.create_paper(name, date, self.timeline, self.folder)

    def read(self) -> loader.Timeline:
        return loader.read_timeline(self.timeline, self.folder)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    copied = Copy(tmp_path / "timeline.yaml", tmp_path / "impl")
    copied.timeline.write_text(paths.TIMELINE.read_text())
    copied.folder.mkdir()
    for name in implementations.names():
        (copied.folder / f"{name}.py").write_text(
            (paths.IMPLEMENTATIONS / f"{name}.py").read_text()
        )
    return copied


def test_a_draft_is_checked_but_the_others_can_be_loaded(copy: Copy) -> None:
    before = copy.read()
    copy.create("se-net")
    after = copy.read()
    assert not after.errors and after.milestones == before.milestones
    messages = [problem.message for problem in after.drafts]
    for field in FIELDS:
        assert any(f'"{field}"' in message for message in messages), field
    assert any("draft: true" in message for message in messages)


def test_a_draft_that_is_called_whole_is_an_error(copy: Copy) -> None:
    copy.create("se-net")
    text = copy.timeline.read_text()
    line = next(line for line in text.splitlines() if line.startswith("  draft: true"))
    copy.timeline.write_text(text.replace(line + "\n", ""))
    assert {f'"{field}" is empty' for field in ("title", "short")} <= {
        problem.message for problem in copy.read().errors
    }


@pytest.mark.parametrize(
    ("date", "neighbours"), [("2015-02-11", True), ("1930", True), ("2099", False), ("", False)]
)
def test_the_entry_is_in_its_place(copy: Copy, date: str, neighbours: bool) -> None:
    before = copy.timeline.read_text()
    written = copy.create("se-net", date)
    line = int(written[0].split(":")[1])
    lines = copy.timeline.read_text().splitlines()
    assert lines[line - 1] == "- id: se-net" and lines[line - 2] == ""
    entry = skeleton.ENTRY_TEMPLATE.format(id="se-net", name="se_net", date=date)
    assert copy.timeline.read_text().replace(entry, "").split() == before.split()
    later = [line for line in lines[line:] if line.startswith("  date: ")]
    assert (len(later) > 1) == neighbours
    if neighbours:
        assert later[0] <= later[1]


def test_a_milestone_without_an_implementation_gets_one_and_everything_still_loads(
    copy: Copy,
) -> None:
    before = copy.timeline.read_text()
    written = copy.create("u-net")
    assert copy.timeline.read_text() == before
    line = int(written[0].split(":")[1])
    assert before.splitlines()[line - 1] == "- id: u-net" and "impl: u_net" in written[0]
    assert not copy.read().errors
    finished = copy.folder / "u_net.py"
    finished.write_text(finished.read_text().replace(skeleton.CLAIM, "sharper"))
    timeline = loader.read_timeline(paths.TIMELINE, copy.folder)
    assert ["no milestone says" in problem.message for problem in timeline.errors] == [True]


def test_an_id_that_is_taken_or_malformed_is_refused(copy: Copy) -> None:
    copy.create("se-net")
    with pytest.raises(ValueError, match="already"):
        copy.create("se-net")
    with pytest.raises(ValueError, match="is not a valid id"):
        copy.create("Batch Norm")
    with pytest.raises(ValueError, match="is not a date"):
        copy.create("nadam", "22 December 2014")


@pytest.fixture
def template(tmp_path: Path) -> Iterator[ModuleType]:
    file = tmp_path / "template.py"
    file.write_text(skeleton.IMPLEMENTATION_TEMPLATE)
    spec = importlib.util.spec_from_file_location("template", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["template"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["template"]


def test_the_template_is_an_implementation_that_runs(
    template: ModuleType, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KB_CORES", "1")
    rows = [
        event
        for event in template.run(template.PRESETS["smoke"], torch.device("cpu"))
        if isinstance(event, dict)
    ]
    (verdict,) = template.check(rows)
    assert (verdict.claim, verdict.effect) == (skeleton.CLAIM, 0)
    assert len(skeleton.IMPLEMENTATION_TEMPLATE.splitlines()) < 120
    copy.create("se-net")
    assert implementations.read("se_net", copy.folder).broken.keys() == {skeleton.CLAIM}
