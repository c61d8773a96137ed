"""Files of other people's literature, read as a stream: BibTeX, OpenAlex, Papers with Code, CSV, JSON lines; plain or gzipped.

Every reader yields (where, work or the reason why it isn't one), so that a bad record costs only itself.
"""

import csv
import gzip
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

LONGEST = 20_000_000  # characters of one record: a longer one is no bibliographic record
FIRST_YEAR, LAST_YEAR = 1400, 2100
ADDRESS = re.compile(r"https?://[^\s<>\"]{3,2000}")
DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>]+")
ARXIV = re.compile(r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Za-z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?$")


@dataclass(frozen=True, slots=True)
class Work:
    """What is known of a paper; "" and () where nothing is. `cites` and `names` are identifiers such as doi:10.1/x."""

    title: str
    authors: tuple[str, ...] = ()
    year: int | None = None
    venue: str = ""
    doi: str = ""
    arxiv: str = ""
    url: str = ""
    abstract: str = ""
    names: tuple[str, ...] = ()  # further identifiers, by which other records cite it
    cites: tuple[str, ...] = ()
    code: tuple[str, ...] = ()  # addresses of repositories


class Unreadable(ValueError):
    """A record that can't be used, or a file that can't; the message is the reason."""


Record = tuple[str, Work | Unreadable]


def read(path: Path, form: str = "auto") -> Iterator[Record]:
    """The records of a file. `form` is a key of FORMS, or `auto`: told by its name and its beginning.

    Raises Unreadable for a file that is none of them, OSError for one that can't be opened.
    """
    with opened(path) as file:
        form = told(path, file) if form == "auto" else form
    if form not in FORMS:
        raise Unreadable(f"{form} is no format; there are auto, {', '.join(FORMS)}")
    with opened(path) as file:
        yield from FORMS[form](file)


def opened(path: Path) -> IO[str]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return (
        gzip.open(path, "rt", encoding="utf-8", errors="replace")
        if zipped
        else path.open(encoding="utf-8", errors="replace")
    )


def told(path: Path, file: IO[str]) -> str:
    """The format of a file, by what it begins with."""
    start = file.read(200_000).lstrip("\ufeff \t\r\n")
    if "\0" in start:
        raise Unreadable(f"{path} is no text; BibTeX, CSV, JSON and JSON lines are read, plain or gzipped")
    if start.startswith(("{", "[")):
        keys = _first_keys(start)
        if {"paper_url", "repo_url"} <= keys:
            return "pwc-links"
        if "paper_url" in keys:
            return "pwc-papers"
        return "openalex" if {"authorships", "display_name"} & keys else "json"
    if re.search(r"(?m)^\s*@\w+\s*[{(]", start):
        return "bibtex"
    if "title" in start.splitlines()[0].lower() if start else False:
        return "csv"
    raise Unreadable(
        f"{path} is neither BibTeX nor JSON nor a CSV file whose first line names its columns, `title` among them"
    )


def _first_keys(start: str) -> set[str]:
    try:
        record, _ = json.JSONDecoder().raw_decode(start.lstrip("[ \t\r\n"))
    except ValueError:
        return set(re.findall(r'"(\w+)"\s*:', start[:5000]))
    return set(record) if isinstance(record, dict) else set()


# JSON: lines of objects, or one array, however large


def objects(file: IO[str]) -> Iterator[tuple[str, dict[str, Any] | Unreadable]]:
    first = file.read(1)
    while first and first in "\ufeff \t\r\n":
        first = file.read(1)
    yield from _array(file) if first == "[" else _lines(file, first)


def _lines(file: IO[str], first: str) -> Iterator[tuple[str, dict[str, Any] | Unreadable]]:
    for number, line in enumerate(file, start=1):
        line = first + line if number == 1 else line
        if line.strip():
            try:
                found = json.loads(line)
            except ValueError as error:
                yield f"line {number}", Unreadable(f"not JSON: {error}")
                continue
            yield f"line {number}", found if isinstance(found, dict) else Unreadable("not an object")


def _array(file: IO[str]) -> Iterator[tuple[str, dict[str, Any] | Unreadable]]:
    """The elements of an array whose bracket was read, parsed one by one: only a part of the file is in memory."""
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    buffer, at, number, more = "", 0, 0, True
    while True:
        at = between.match(buffer, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if buffer[at : at + 1] == "]":
            return
        try:
            found, end = decoder.raw_decode(buffer, at)
        except ValueError:
            rest = buffer[at:]
            if not more or len(rest) > LONGEST:
                if rest:
                    yield f"record {number + 1}", Unreadable("the file ends, or is damaged, within this record")
                return
            chunk = file.read(
                max(1 << 20, len(rest))
            )  # twice as much each time: a long record isn't read over and over
            buffer, at, more = rest + chunk, 0, bool(chunk)
            continue
        at, number = end, number + 1
        yield f"record {number}", found if isinstance(found, dict) else Unreadable("not an object")


# From records to works


def work(**given: Any) -> Work | Unreadable:
    """A work from what a record says, in any spelling; Unreadable without a title."""
    title = _text(given.get("title"))
    if not any(map(str.isalnum, title)):
        return Unreadable("no title")
    stated = given.get("year")
    year = stated if isinstance(stated, int) else None
    if year is None and stated:
        found = re.search(r"\d{4}", str(stated))
        year = int(found[0]) if found else 0
    if year is not None and not FIRST_YEAR <= year <= LAST_YEAR:
        return Unreadable(f"{str(stated)[:40]!r} is no year")
    authors = given.get("authors") or ()
    authors = re.split(r"\s*;\s*|\s+and\s+", authors) if isinstance(authors, str) else authors
    url = _text(given.get("url"))
    return Work(
        title=title[:2000],
        authors=tuple(filter(None, map(_name, authors)))[:500],
        year=year,
        venue=_text(given.get("venue"))[:500],
        doi=doi(_text(given.get("doi"))) or (doi(url) if "doi.org/" in url else ""),
        arxiv=arxiv(_text(given.get("arxiv"))) or (arxiv(url) if "arxiv.org" in url else ""),
        url=_address(url),
        abstract=_text(given.get("abstract"))[:20_000],
        names=tuple(filter(None, map(_text, given.get("names", ())))),
        cites=tuple(filter(None, map(_text, given.get("cites", ())))),
        code=tuple(filter(None, (_address(_text(one)) for one in given.get("code", ())))),
    )


def _name(author: Any) -> str:
    return _text(author)[:200].replace(";", ",")  # a semicolon stands between names


def _text(value: Any) -> str:
    """One line of it, without characters that are no text; "" for what isn't text or a number."""
    if not value:
        return ""
    if not isinstance(value, str):
        return str(value) if isinstance(value, int | float) else ""
    if not value.isprintable():  # a line's end, say
        value = "".join(c if c.isprintable() else " " for c in value)
    return " ".join(value.split())


def _address(value: str) -> str:
    return value if ADDRESS.fullmatch(value) else ""


def doi(value: str) -> str:
    found = DOI.search(value) if value else None
    return found[0].lower() if found else ""


def arxiv(value: str) -> str:
    found = ARXIV.search(value) if value else None
    return found[1] if found else ""


Reader = Callable[[IO[str]], Iterator[Record]]


def _of_objects(convert: Callable[[dict[str, Any]], Work | Unreadable]) -> Reader:
    def reader(file: IO[str]) -> Iterator[Record]:
        for where, found in objects(file):
            if isinstance(found, Unreadable):
                yield where, found
                continue
            try:
                yield where, convert(found)
            except (TypeError, AttributeError, KeyError, ValueError) as error:
                yield where, Unreadable(f"not as this format has it: {error!r}"[:200])

    return reader


def _plain(record: dict[str, Any]) -> Work | Unreadable:
    """JSON with plain keys, as many a project publishes it: title, authors, year, venue, doi, arxiv, url, abstract, code."""
    code = record.get("code") or ()
    names = [f"id:{record['id']}"] if record.get("id") else []
    return work(**{**record, "names": names, "cites": (), "code": [code] if isinstance(code, str) else code})


def _openalex(record: dict[str, Any]) -> Work | Unreadable:
    places = [place for place in [record.get("primary_location"), *(record.get("locations") or [])] if place]
    addresses = [place.get("landing_page_url") or "" for place in places]
    preprint = next((address for address in addresses if "arxiv.org/abs/" in address), "")
    words = [(at, word) for word, spots in (record.get("abstract_inverted_index") or {}).items() for at in spots]
    return work(
        title=record.get("display_name") or record.get("title"),
        authors=[one["author"]["display_name"] for one in record.get("authorships") or []],
        year=record.get("publication_year"),
        venue=((places[0].get("source") or {}).get("display_name") if places else "") or "",
        doi=record.get("doi"),
        arxiv=preprint,
        url=next(iter(filter(None, addresses)), ""),
        abstract=" ".join(word for _, word in sorted(words)),
        names=[_openalex_name(record.get("id"))],
        cites=[_openalex_name(one) for one in record.get("referenced_works") or []],
    )


def _openalex_name(address: Any) -> str:
    name = str(address or "").rsplit("/", 1)[-1]
    return f"openalex:{name}" if name else ""


def _pwc_paper(record: dict[str, Any]) -> Work | Unreadable:
    return work(
        title=record.get("title"),
        authors=record.get("authors"),
        year=(record.get("date") or "")[:4],
        venue=record.get("proceeding") or record.get("conference"),
        arxiv=record.get("arxiv_id"),
        url=record.get("url_abs") or record.get("paper_url"),
        abstract=record.get("abstract"),
        names=[f"pwc:{record['paper_url']}"],
        code=[record["repo_url"]] if record.get("repo_url") else (),
    )


def _pwc_link(record: dict[str, Any]) -> Work | Unreadable:
    """A paper's title and one repository that implements it: joined with the paper itself by its name."""
    return work(
        title=record.get("paper_title"),
        arxiv=record.get("paper_arxiv_id"),
        url=record.get("paper_url_abs") or record.get("paper_url"),
        names=[f"pwc:{record['paper_url']}"],
        code=[record["repo_url"]],
    )


def _csv(file: IO[str]) -> Iterator[Record]:
    """A header and lines: title, and any of authors (with ; between), year, venue, doi, arxiv, url, abstract, code."""
    csv.field_size_limit(LONGEST)
    first = file.readline().lstrip("\ufeff")
    dialect = csv.Sniffer().sniff(first, delimiters=",;\t") if re.search(r"[,;\t]", first) else csv.excel
    header = [name.strip().lower() for name in next(csv.reader([first], dialect))]
    lines = csv.reader(file, dialect)
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {lines.line_num + 1}", Unreadable(f"not CSV: {error}")
            continue
        if cells:
            record = dict(zip(header, cells, strict=False))
            code = re.split(r"[;\s]+", record.get("code", ""))
            yield f"line {lines.line_num + 1}", work(**{**record, "code": code, "names": (), "cites": ()})


# BibTeX. A scanner of our own: the libraries read the whole file at once, and a hundred times slower.


def _bibtex(file: IO[str]) -> Iterator[Record]:
    strings: dict[str, str] = {}
    for line, text in _entries(file):
        where = f"line {line}"
        head = re.match(r"@\s*(\w+)\s*[{(]\s*", text)
        kind = head[1].lower() if head else ""
        if not head or kind in ("comment", "preamble"):
            continue
        try:
            if kind == "string":
                strings |= _fields(text[head.end() :], strings)
                continue
            key, comma, rest = text[head.end() :].partition(",")
            if not comma:
                raise Unreadable("an entry without fields")
            fields = _fields(rest, strings)
        except Unreadable as error:
            yield where, error
            continue
        address = fields.get("url", "") or fields.get("howpublished", "")
        preprint = (
            fields.get("eprint", "")
            if "arxiv" in fields.get("archiveprefix", fields.get("eprinttype", "")).lower()
            else ""
        )
        yield (
            where,
            work(
                title=fields.get("title"),
                authors=[_turned(name) for name in re.split(r"\s+and\s+", fields.get("author", ""))],
                year=fields.get("year") or fields.get("date", "")[:4],
                venue=fields.get("journal") or fields.get("booktitle") or fields.get("publisher"),
                doi=fields.get("doi"),
                arxiv=preprint or fields.get("arxiv"),
                url=re.sub(r"\\url|[{}]", "", address),
                abstract=fields.get("abstract"),
                names=[f"bib:{key.strip()}"],
            ),
        )


def _entries(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Each @entry with its line: from an @ at the beginning of a line to where its braces close, or the next such @."""
    begun, lines, depth = 0, list[str](), 0
    for number, line in enumerate(file, start=1):
        if re.match(r"\s*@\s*\w+\s*[{(]", line) and (not lines or depth <= 0 or line.startswith("@")):
            if lines:
                yield begun, "".join(lines)
            begun, lines, depth = number, [], 0
        elif not lines:
            continue
        lines.append(line)
        depth += line.count("{") - line.count("}") - line.count("\\{") + line.count("\\}")
        if depth <= 0 or sum(map(len, lines[-1:])) > LONGEST:
            yield begun, "".join(lines)
            lines = []
    if lines:
        yield begun, "".join(lines)


def _fields(text: str, strings: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while name := re.compile(r"[\s,]*([A-Za-z][\w:-]*)\s*=\s*").match(text, at):
        value, at = _value(text, name.end(), strings)
        found[name[1].lower()] = plain(value)
    if not found:
        raise Unreadable("no field can be read in this entry")
    return found


def _value(text: str, at: int, strings: dict[str, str]) -> tuple[str, int]:
    """Braced, quoted or bare, joined by #; returns where it ends."""
    parts = []
    while True:
        if text[at : at + 1] == "{":
            end = _closing(text, at)
            parts.append(text[at + 1 : end])
            at = end + 1
        elif text[at : at + 1] == '"':
            end = at + 1
            while end < len(text) and text[end] != '"':
                end = _closing(text, end) + 1 if text[end] == "{" else end + 1 + (text[end] == "\\")
            parts.append(text[at + 1 : end])
            at = end + 1
        else:
            bare = re.compile(r"[^\s,#{}()\"]*").match(text, at)
            word = bare[0] if bare else ""
            parts.append(strings.get(word.lower(), word))
            at += len(word)
        joined = re.compile(r"\s*#\s*").match(text, at)
        if not joined:
            return "".join(parts), max(at, 1)
        at = joined.end()


def _closing(text: str, at: int) -> int:
    depth = 0
    for found in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, at):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    raise Unreadable("a brace is opened and not closed")


ACCENTS = dict(zip("`'^\"~=.uvHcdbkr", "\u0300\u0301\u0302\u0308\u0303\u0304\u0307\u0306"
                   "\u030c\u030b\u0327\u0323\u0331\u0328\u030a", strict=True))  # fmt: skip
LETTERS = {"ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "aa": "å", "AA": "Å",
           "i": "i", "j": "j"}  # fmt: skip


def plain(latex: str) -> str:
    """Without TeX's markup: G{\\"o}del -> Gödel."""
    if "\\" in latex:
        latex = re.sub(
            r"\\([`'^\"~=.]|[uvHcdbkr](?![A-Za-z]))\s*\{?\s*\\?([A-Za-z])\s*\}?",
            lambda found: unicodedata.normalize("NFC", found[2] + ACCENTS[found[1]]),
            latex,
        )
        latex = re.sub(
            r"\\(ss|ae|AE|oe|OE|aa|AA|[oOlLij])(?![A-Za-z])\s*(\{\})?", lambda found: LETTERS[found[1]], latex
        )
        latex = re.sub(r"\\([&%$#_{}])", r"\1", latex)
        latex = re.sub(r"\\[A-Za-z]+\*?\s*", "", latex)
    return re.sub(r"(?<!\\)[{}]", "", latex).replace("~", " ").replace("---", "–").replace("--", "–")


def _turned(name: str) -> str:
    """Family, Given -> Given Family."""
    family, comma, given = name.partition(",")
    return f"{given.strip()} {family.strip()}" if comma else name


FORMS: dict[str, Reader] = {
    "bibtex": _bibtex,
    "csv": _csv,
    "json": _of_objects(_plain),
    "openalex": _of_objects(_openalex),
    "pwc-links": _of_objects(_pwc_link),
    "pwc-papers": _of_objects(_pwc_paper),
}
