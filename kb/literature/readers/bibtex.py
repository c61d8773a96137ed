"""BibTeX and biblatex: entries to works, with abbreviations, names and what entries inherit."""

import re
from collections.abc import Iterator, Mapping

from kb.literature.readers.bibtex_entries import RawEntry, read_entries, split_pieces
from kb.literature.readers.bibtex_values import resolve_fields, split_people, verbatim
from kb.literature.readers.latex import latex_to_text
from kb.literature.readers.source import TextSource
from kb.literature.works import Record, Unreadable, Work, make_work

MAX_ABBREVIATIONS = 100_000
MAX_PARENTS = 200_000  # entries from which others inherit
MAX_GENERATIONS = 5
NO_WORKS = ("xdata", "set", "control", "bibnote")
REFERENCE = re.compile(r"(?i)\b(crossref|xdata)\s{0,20}=\s{0,20}[{\"]?\s{0,20}([^\"{}=]{1,500})")
INHERITED = ("year", "date", "publisher", "editor", "journal", "journaltitle", "eventtitle")
ARXIV_IN_TEXT = re.compile(r"(?i)(?:arxiv\s?[:\s]\s?|abs/)(\d{4}\.\d{4,5}|[a-z-]{2,20}/\d{7})")
ARXIV_NUMBER = re.compile(r"\d{4}\.\d{4,5}(v\d+)?")
VENUES = (
    "journaltitle",
    "journal",
    "booktitle",
    "eventtitle",
    "maintitle",
    "institution",
    "school",
    "organization",
    "publisher",
)

Parents = dict[str, RawEntry]


def read_bibtex(source: TextSource) -> Iterator[Record]:
    parents = _collect_parents(source)
    abbreviations: dict[str, str] = {}
    for line, entry in read_entries(source):
        if isinstance(entry, Unreadable):
            yield f"line {line}", entry
            continue
        try:
            work = _read_entry(entry, abbreviations, parents)
        except (ValueError, IndexError, KeyError, RecursionError) as error:
            yield f"line {line}", Unreadable(str(error)[:200] or "not BibTeX")
        else:
            if work is not None:
                yield f"line {line}", work


def _collect_parents(source: TextSource) -> Parents:
    """The entries to which others refer; they may stand anywhere in the file."""
    keys: set[str] = set()
    for _, piece in split_pieces(source):
        if piece and ("ref" in piece or "xdata" in piece or "REF" in piece or "XDATA" in piece):
            for match in REFERENCE.finditer(piece):
                keys.update(_split_keys(match[2]))
    if not keys:
        return {}
    parents: Parents = {}
    for _, entry in read_entries(source):
        if isinstance(entry, RawEntry) and entry.key.lower() in keys:
            parents.setdefault(entry.key.lower(), entry)
        if len(parents) >= min(len(keys), MAX_PARENTS):
            break
    return parents


def _split_keys(value: str) -> list[str]:
    return [key.strip().lower() for key in value.split(",") if key.strip()]


def _read_entry(
    entry: RawEntry, abbreviations: dict[str, str], parents: Parents
) -> Work | Unreadable | None:
    """The work of an entry; None for a definition, which is added to `abbreviations`."""
    if entry.kind in NO_WORKS:
        return None
    fields, notes = resolve_fields(entry.fields, abbreviations)
    if entry.kind == "string":
        if len(abbreviations) < MAX_ABBREVIATIONS:
            abbreviations.update(fields)
        return None
    notes = [*entry.notes, *notes]
    fields = _inherit(fields, abbreviations, parents, notes)
    return _make_work(entry, fields, notes)


def _inherit(
    fields: dict[str, str],
    abbreviations: Mapping[str, str],
    parents: Parents,
    notes: list[str],
    generation: int = 0,
) -> dict[str, str]:
    """The fields with those that the entry takes from its parents."""
    for reference in ("xdata", "crossref"):
        for key in _split_keys(fields.get(reference, ""))[:MAX_GENERATIONS]:
            if key not in parents or generation >= MAX_GENERATIONS:
                notes.append(f"the entry of its {reference} isn't in the file: {key[:40]!r}")
                continue
            given, _ = resolve_fields(parents[key].fields, abbreviations)
            given = _inherit(given, abbreviations, parents, notes, generation + 1)
            if reference == "crossref":
                inherited = {name: given[name] for name in INHERITED if name in given}
                book = given.get("booktitle") or given.get("title", "")
                given = inherited | ({"booktitle": book} if book else {})
                if "year" in fields or "date" in fields:
                    given.pop("year", None)
                    given.pop("date", None)
            fields = given | fields
    return fields


def _make_work(entry: RawEntry, fields: dict[str, str], notes: list[str]) -> Work | Unreadable:
    authors, remarks = split_people(fields.get("author") or fields.get("editor", ""))
    title = latex_to_text(fields.get("title", ""))
    if subtitle := latex_to_text(fields.get("subtitle", "")):
        title = f"{title}: {subtitle}"
    published = verbatim(fields.get("howpublished", ""))
    venue = next((fields[name] for name in VENUES if fields.get(name, "").strip()), "")
    if not venue and not published.startswith("http"):
        venue = published
    date = fields.get("year") or fields.get("date") or fields.get("eventdate", "")
    return make_work(
        title=title,
        authors=authors,
        year=latex_to_text(date),
        venue=latex_to_text(venue),
        doi=verbatim(fields.get("doi", "")),
        arxiv=_arxiv_number(fields),
        url=verbatim(fields.get("url", "")) or published,
        abstract=latex_to_text(fields.get("abstract", "")),
        key=f"bib:{entry.key}" if entry.key else "",
        notes=[*notes, *remarks],
    )


def _arxiv_number(fields: Mapping[str, str]) -> str:
    archive = (fields.get("archiveprefix") or fields.get("eprinttype", "")).lower()
    eprint = verbatim(fields.get("eprint", ""))
    if "arxiv" in archive or (not archive and ARXIV_NUMBER.fullmatch(eprint)):
        return re.sub(r"(?i)^arxiv:", "", eprint)
    if fields.get("arxiv"):
        return fields["arxiv"]
    for name in ("journal", "journaltitle", "volume", "note", "howpublished"):
        if match := ARXIV_IN_TEXT.search(fields.get(name, "")[:500]):
            return match[1]
    return ""
