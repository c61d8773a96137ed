"""The JSON Schema that editors read, and what is a date."""

import json

import pytest

from kb import paths
from kb.schema import date_range, json_schema


def test_the_schema_that_editors_read_is_the_one_in_force() -> None:
    path = paths.TIMELINE.with_name("timeline.schema.json")
    assert json.loads(path.read_text()) == json_schema(), f"`kb schema > {path}`"
    assert paths.TIMELINE.read_text().startswith(f"# yaml-language-server: $schema={path.name}\n")


@pytest.mark.parametrize("date", ["2014-00-10", "2014-00", "2014-06-00", "2014-02-30", "0000"])
def test_a_date_that_is_not_in_the_calendar_is_refused(date: str) -> None:
    with pytest.raises(ValueError, match="is not in the calendar"):
        date_range(date)


@pytest.mark.parametrize(
    "date", ["２０１４", "2014-6", "14-06-10", "2014-06-10-01", "٢٠١٤", "2014\n"]
)
def test_what_is_not_written_as_a_date_is_refused(date: str) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        date_range(date)
