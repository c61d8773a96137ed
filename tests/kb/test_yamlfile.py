"""Reading YAML strictly: what isn't allowed is reported with its place, and at once."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kb import yamlfile


def read(tmp_path: Path, text: str | bytes) -> yamlfile.Document:
    path = tmp_path / "t.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return yamlfile.read_yaml(path)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: [", (2, 1), "not YAML"),
        ("a: 1\na: 2\n", (2, 1), '"a" is given twice; the first is in line 1'),
        ("a: &x [1]\nb: *x", (2, 4), "aliases aren't used"),
        ("- !!python/object/apply:os.system [ls]", (1, 3), "tags aren't used"),
        ("date: 2014-06", (1, 7), 'must be quoted: "2014-06"'),
        ("a: 1\n---\nb: 2", (2, 1), "second document"),
        ("? [1]\n: 2", (1, 3), "a key must be a word"),
        (b"a: \xff", (1, 4), "not UTF-8"),
        ("a: \x00", (1, 4), "may not stand in YAML"),
        ("[" * 100_000, (1, 13), "nested more than"),
        ("- " * 100_000, (1, 25), "nested more than"),
        ("{a: " * 100_000, (1, 49), "nested more than"),
        ("a: " + "[" * 11 + "]" * 11 + "x", (1, 26), "not YAML"),
        ("a: 1e999", (1, 4), "1e999 is too large for a number"),
        (
            "a: 08",
            (1, 4),
            '08 is a number to some programs and a text to others: write 8.0, or "08"',
        ),
        ("a: [1e3]", (1, 5), 'write 1000.0, or "1e3" for a text'),
        ("a: 6.6e25", (1, 4), "write 6.6e+25"),
        ("a: [x, -9e9999]", (1, 8), "too large for a number"),
        ('a: "\\e[2J"', (1, 4), "U+001B (a control character) can't be seen"),
        ('a: 1\n"\\a": 2', (2, 1), "U+0007"),
        ('a: "x\\0"', (1, 4), "U+0000"),
        ("a: 1\nb: good \u202e evil", (2, 9), "U+202E (right-to-left override) can't be seen"),
        ("a: 1  # \u2066 evil", (1, 9), "U+2066"),
        ("a: zero\u200bwidth", (1, 8), "U+200B"),
        ("a: >\n  one\n\n  two\n", (1, 4), "its paragraphs would run together"),
        ("a: 1\nb: " + "x" * 60_000, (2, 4), "a text of 60,000 characters; at most 50,000"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_refused(tmp_path: Path, text: str, place: tuple[int, int], message: str) -> None:
    problems = read(tmp_path, text).problems
    assert message in str(problems[-1])
    assert (problems[-1].line, problems[-1].column) == place


def test_an_alias_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
    )
    assert "aliases aren't used" in str(read(tmp_path, bomb).problems[-1])


def test_too_large_a_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlfile, "MAX_BYTES", 10)
    assert "MiB" in str(read(tmp_path, "a: 123456789").problems[0])


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, message in (
        (pipe, "a pipe or a device"),
        (Path("/dev/zero"), "a pipe or a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "a\0b", "can't be read"),
    ):
        (problem,) = yamlfile.read_yaml(path).problems
        assert message in problem.message


def test_many_hidden_characters_are_not_all_reported(tmp_path: Path) -> None:
    problems = read(tmp_path, "a: " + "\u200b" * 100_000).problems
    assert len(problems) == yamlfile.MAX_PROBLEMS + 1
    assert "the rest isn't read" in problems[-1].message


def test_a_problem_is_printed_without_what_controls_a_terminal() -> None:
    problem = yamlfile.Problem("a\x1b[2J.yaml", 1, 1, 'unknown key "\x07\u202e"')
    assert str(problem) == r'a\x1b[2J.yaml:1:1: unknown key "\x07\u202e"'


def test_text_of_other_languages_is_kept(tmp_path: Path) -> None:
    text = "Jürgen; 深層学習; שלום; 👩\u200d🔬; नमस्ते"
    document = read(tmp_path, f"a: {text}")
    assert document.problems == []
    assert document.value == {"a": text}
    assert read(tmp_path, "\ufeffa: b\r\nc: d\r\n").value == {"a": "b", "c": "d"}


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    assert "can't be read" in str(yamlfile.read_yaml(tmp_path / "none.yaml").problems[0])


def test_words_that_yaml_1_1_takes_for_booleans_stay_words(tmp_path: Path) -> None:
    assert read(tmp_path, "[no, yes, on, off, true, null, 1.5, 12, 1e3, 0x10]").value == [
        "no", "yes", "on", "off", True, None, 1.5, 12, 1000.0, "0x10",
    ]  # fmt: skip


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(codec="utf-8", categories=["L", "N", "P"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(plain)
def test_it_reads_what_pyyaml_writes(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    text = yaml.safe_dump(json.loads(json.dumps(value)), allow_unicode=True)
    document = read(tmp_path_factory.mktemp("yaml"), text)
    if not document.problems:
        assert document.value == json.loads(json.dumps(value))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_get_a_value_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    document = read(tmp_path_factory.mktemp("yaml"), junk)
    for problem in document.problems:
        assert problem.line >= 1 and problem.column >= 1 and problem.message
