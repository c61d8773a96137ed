"""Files that mean harm: each bad record is one that is rejected, time is linear, memory bounded."""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kb.literature import importing, readers
from kb.literature.works import Unreadable
from tests.kb.literature_files import write_file

GOOD = '{"title": "A good one"}'
MANY = 60_000
HOSTILE: dict[str, tuple[str, int, int]] = {  # file: its text, works and rejected records
    "deep.json": ("[" * MANY, 0, 1),
    "deep-between.json": (f'[{GOOD},\n{{"title": {"[" * MANY}{"]" * MANY}}},\n{GOOD}]', 2, 1),
    "deep.jsonl": (f'{GOOD}\n{{"title": {"[" * MANY}{"]" * MANY}}}\n{GOOD}\n', 2, 1),
    "broken.json": (f"[{GOOD}, {{'title': 1}}, {GOOD}]", 2, 1),
    "digits.json": (f'[{GOOD}, {{"title": "x", "year": {"9" * 9999}}}]', 1, 1),
    "infinite.json": ('[{"title": "x", "year": 1e999}]', 1, 0),
    "surrogate.json": (
        r'[{"title": "\ud800 x", "authors": ["\udfff"], "id": "\ud801", "\ud802": 1}]',
        1,
        0,
    ),
    "combining.json": (
        json.dumps(
            [{"title": "a\u0301\u0301 thing", "authors": ["\u0301\u0302"], "year": 2000}] * 2
        ),
        2,
        0,
    ),
    "types.json": ('[{"title": ["x"], "authors": {"a": [1]}, "year": {}, "code": [3]}]', 1, 0),
    "spaces.bib": (f"@misc{{a, title={{x}}, author={{A{' ' * MANY}B and C{',' * MANY}}}}}", 1, 0),
    "letters.bib": (
        f"@misc{{a, title={{x}}, eprint={{{'a' * MANY}}}, doi={{10.1{'1' * MANY}}}}}",
        1,
        0,
    ),
    "braces.bib": (f"@misc{{a, title={'{' * MANY}}}\n@misc{{b, title={{y}}}}", 1, 1),
    "unclosed.bib": (f"@misc{{a, title={{x {'word ' * 250_000}\n@misc{{b, title={{y}}}}", 1, 1),
    "heads.bib": (f"@misc{{a, title={{x {'}@a{' * MANY}\n@misc{{b, title={{y}}}}", 1, 1),
    "doubling.bib": (
        "@string{a0={ha}}\n"
        + "".join(f"@string{{a{i + 1}=a{i} # a{i}}}\n" for i in range(60))
        + "@misc{x, title=a60}",
        1,
        0,
    ),
    "circle.bib": ("@misc{a, title={x}, crossref={b}}\n@misc{b, title={y}, xdata={a, b}}", 2, 0),
    "wide.csv": (f"title,year\n{'x,' * MANY}\nlast,2001\n", 2, 0),
    "cell.csv": (f'title,year\n"{"x" * 1_100_000}",2000\nlast,2001\n', 1, 1),
    "names.csv": (f"title,authors\nx,{'a;' * MANY}\ny,{' and' * MANY}\n", 2, 0),
    "spaces.ris": (f"TY  - JOUR\nTI  - a{' ' * MANY}\nAU  - B{',' * MANY}\nER  - \n", 1, 0),
    "long.ris": (
        f"TY  - JOUR\nTI  - b\n{'AB  - w' * 200_000}\nER  - \nTY  - BOOK\nTI  - c\n",
        1,
        1,
    ),
    "tags.ris": ("TY  - JOUR\nAU  - x\nER  - \nER  - \nTY  - \nTI  - c\nER  - \n", 1, 1),
}
GROWING: dict[str, Callable[[int], str]] = {  # time must be linear in the number
    "entries.bib": lambda n: (
        '@misc{a, title={A thing}, author={M{\\"u}ller, A and B}}\n' * (n // 20)
    ),
    "one-line.bib": lambda n: "@misc{a, title={A thing}} " * (n // 20),
    "unclosed.bib": lambda n: "@misc{a, title={x " + "word\n" * n,
    "heads.bib": lambda n: "@misc{a, title={x " + "}@a{" * n,
    "accents.bib": lambda n: "@misc{a, title={" + '{\\"o}' * (n // 10) + "}}",
    "heads-in-one.bib": lambda n: "@misc{a, title={x}} " + "@misc(" * n,
    "spaces.bib": lambda n: "@misc{a, title={x}, crossref=" + " " * n + "}}\n" + " " * n + "\n,",
    "letters.csv": lambda n: "title,authors\n" + f"x,{'a' * n}; {'b ' * n}\n",
    "array.json": lambda n: "[" + ",".join([GOOD] * n) + "]",
    "damaged.json": lambda n: "[" + ",".join(["{title: 1}"] * n) + "]",
    "quotes.csv": lambda n: 'title,year\n"open' + ",x\n" * n,
    "tags.ris": lambda n: "TY  - JOUR\nTI  - a\nER  - \n" * (n // 10),
}
PEAK = """
import resource, sys
from pathlib import Path
from kb.literature import importing

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

small, large = map(Path, sys.argv[1:])
importing.import_file(small, home=small.parent)
before = peak()
print(importing.import_file(large, home=small.parent).rejected, peak() - before)
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_record_is_one_that_is_rejected(tmp_path: Path, name: str) -> None:
    text, works, rejected = HOSTILE[name]
    path = write_file(tmp_path, name, text)
    done = importing.import_file(path, home=tmp_path)
    assert (done.added + done.merged, done.rejected) == (works, rejected)
    assert importing.import_file(path, home=tmp_path).finished, "it can be finished"


@pytest.mark.parametrize("name", GROWING)
def test_time_is_linear_in_the_size(tmp_path: Path, name: str) -> None:
    def seconds(number: int) -> float:
        path = write_file(tmp_path, name, GROWING[name](number))
        started = time.process_time()
        for _ in readers.read_works(path):
            pass
        return time.process_time() - started

    seconds(100)
    # eight times the size: 8 times the time if it is linear, 64 if it is quadratic
    assert seconds(40_000) < 30 * seconds(5_000) + 1


@pytest.mark.parametrize(
    ("content", "rejected"),
    [
        (gzip.compress(b"\n".join([GOOD.encode(), b"x" * 300_000_000, GOOD.encode()])), 1),
        (b"@misc{a, title={A thing}, abstract={" + b"word " * 40 + b"}}\n" * 1, 0),
        (b"@misc{a, title={x " + b"word word\n" * 1_000_000, 1),
        (b'title\n"' + b"x" * 10_000_000, 1),
    ],
    ids=["a line of 300 MB in 300 kB", "a small entry", "an unclosed entry", "an unclosed cell"],
)
def test_memory_is_bounded(tmp_path: Path, content: bytes, rejected: int) -> None:
    small = write_file(tmp_path, "small.json", [{"title": "A small one"}])
    large = tmp_path / "large"
    large.write_bytes(content)
    command = [sys.executable, "-c", PEAK, str(small), str(large)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(output[0]) >= rejected
    assert float(output[1]) < 150, "megabytes"


def test_ten_million_characters_stream(tmp_path: Path) -> None:
    entry = '@misc{{k{0}, title={{Thing number {0}}}, author={{M{{\\"u}}ller, A}}, note={{{1}}}}}\n'
    small = write_file(tmp_path, "small.bib", entry.format(0, "x"))
    text = "".join(entry.format(number, "word " * 350) for number in range(5_700))
    large = write_file(tmp_path, "large.bib", text)
    command = [sys.executable, "-c", PEAK, str(small), str(large)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert len(text) > 10_000_000
    assert output[0] == "0"
    assert float(output[1]) < 100, "megabytes"


@pytest.mark.parametrize("cut", [3, 30, -20])
def test_a_damaged_gzip_gives_what_can_be_read_and_a_sentence(tmp_path: Path, cut: int) -> None:
    lines = [json.dumps({"title": f"Thing {number}"}) for number in range(9_000)]
    path = tmp_path / "w.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:cut])
    if cut > 0:
        with pytest.raises(Unreadable, match="damaged or cut short"):
            importing.import_file(path, home=tmp_path)
    else:
        done = importing.import_file(path, home=tmp_path)
        assert done.added > 8_000
        assert any("cut short" in reason for reason in done.reasons)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(Unreadable, match="is not a file"):
            importing.import_file(path, home=tmp_path)
