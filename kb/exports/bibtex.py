"""BibTeX, for biber: names and titles keep their accents."""

import re
from collections.abc import Sequence
from typing import Any

ENTRY_TYPES = {  # by kind; any other kind is told by its venue
    "book": "book",
    "library": "software",
    "framework": "software",
    "tool": "software",
    "dataset": "dataset",
    "benchmark": "dataset",
    "chip": "misc",
    "system": "misc",
    "product": "misc",
    "event": "misc",
    "course": "misc",
}
VENUE_FIELDS = {  # by type; any other type has howpublished
    "article": "journal",
    "inproceedings": "booktitle",
    "incollection": "booktitle",
    "phdthesis": "school",
    "mastersthesis": "school",
    "techreport": "institution",
    "book": "publisher",
}
CONFERENCES = """
    NIPS NeurIPS ICML ICLR CVPR ICCV ECCV BMVC WACV ACCV MICCAI ACL EMNLP NAACL COLING CoNLL LREC
    AAAI IJCAI UAI COLT AISTATS KDD WWW CIKM SIGIR SIGMOD VLDB SIGGRAPH CHI COLM MLSys ICASSP
    Interspeech INTERSPEECH ICANN IJCNN ICDAR ICPR ICRA IROS CoRL RSS SciPy MAPL ISCA MICRO ASPLOS
    HPCA OSDI SOSP NSDI ISSCC FPGA DAC PLDI STOC FOCS SODA GECCO ICGA
""".split()  # noqa: SIM905
VENUE_TYPES = {  # what a venue says about the type, in this order
    r"(?i)\b(?:phd|doctoral) (?:thesis|dissertation)|dissertation": "phdthesis",
    r"(?i)\b(?:master|diploma).{0,3} thesis": "mastersthesis",
    r"(?i)\b(?:blog|home ?page|web ?site|press release|towards data science)\b": "misc",
    # journals that are called proceedings
    r"Proceedings of the (?:IEEE|IRE|VLDB|National Academy|(?:Royal|London) )": "article",
    r"(?i)^(?:the )?(?:journal|communications|transactions|annals|bulletin)\b": "article",
    r"\b(?:Proceedings|Conference|Workshop|workshop|Symposium|Congress|Summer School)\b": (
        "inproceedings"
    ),
    r"Convention Record|(?<!for )Neural Information Processing Systems": "inproceedings",
    rf"\b(?:{'|'.join(CONFERENCES)})\b": "inproceedings",
    r"^Chapter\b|Lecture Notes in": "incollection",
    r"(?i)\b(?:technical report|tech\. report|report|memo|memorandum)\b": "techreport",
    r"(?i)^arxiv\b|\bpreprint\b": "misc",
}
JOURNAL = re.compile(  # Neural Computation 9(8), 1735-1780
    r"(?P<journal>[^\d;,]+) (?P<volume>\d+)(?:\((?P<number>\d+(?:-\d+)?)\))?, (?P<pages>\d+-\d+)"
)
CONFERENCE_PAGES = re.compile(r"(?P<booktitle>[^;,]+ \d{4}), (?P<pages>\d+-\d+)")  # ICML 2006, 1-8
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
SPECIAL_CHARACTERS = re.compile(r"[\\{}$&#_%~^]")
COMMANDS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def as_bibtex(entries: Sequence[dict[str, Any]]) -> str:
    """An entry for each milestone. Where two have the same paper, only the first has its number."""
    used: set[str] = set()
    return "\n\n".join(_entry(entry, used) for entry in entries)


def _entry(entry: dict[str, Any], used: set[str]) -> str:
    year, _, rest = entry["date"].partition("-")
    month = rest[:2]
    makers = " and ".join(f"{{{escape_tex(maker)}}}" for maker in entry.get("makers", []))
    people = " and ".join(map(escape_tex, entry.get("authors", [])))
    kind = entry_type(entry)
    arxiv = entry.get("arxiv", "") if entry.get("arxiv") not in used else ""
    used.add(arxiv)
    fields = {
        # Braces inside the braces of the value: the title keeps its capitals.
        "title": "{" + escape_tex(entry["title"]) + "}",
        "author": people or makers,
        "publisher": makers if people else "",
        "year": year,
        "month": MONTHS[int(month) - 1] if month else "",
        **_venue_fields(kind, entry.get("venue", "")),
        "doi": entry.get("doi", ""),
        "eprint": arxiv,
        "archiveprefix": "arXiv" if arxiv else "",
        "url": entry.get("url") or entry.get("repository", ""),
    }
    return write_entry(kind, entry["id"], fields)


def write_entry(kind: str, key: str, fields: dict[str, str]) -> str:
    """An entry with the fields that aren't empty; their values are escaped already."""
    lines = [
        f"  {name} = {value if name == 'month' else '{' + value + '}'},"
        for name, value in fields.items()
        if value
    ]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def entry_type(entry: dict[str, Any]) -> str:
    """The type of a milestone's entry: what kind it is, or where it was published."""
    if entry["kind"] in ENTRY_TYPES:
        return ENTRY_TYPES[entry["kind"]]
    if entry.get("venue"):
        return venue_type(entry["venue"])
    return "article" if entry["kind"] == "paper" else "misc"


def venue_type(venue: str) -> str:
    """The type of what was published there; of several places, separated by `;`, the last."""
    for place in reversed([place for place in venue.split(";") if place.strip()]):
        found = next(
            (kind for pattern, kind in VENUE_TYPES.items() if re.search(pattern, place.strip())),
            "article",
        )
        if found != "misc":
            return found
    return "misc"


def _venue_fields(kind: str, venue: str) -> dict[str, str]:
    """The venue in the field that the type has for it; volume and pages where they are plain."""
    pattern = {"article": JOURNAL, "inproceedings": CONFERENCE_PAGES}.get(kind)
    match = pattern.fullmatch(venue) if pattern else None
    if not match:
        return {VENUE_FIELDS.get(kind, "howpublished"): escape_tex(venue)}
    parts = {name: escape_tex(value or "") for name, value in match.groupdict().items()}
    return parts | {"pages": parts["pages"].replace("-", "--")}


def escape_tex(text: str) -> str:
    """The text on one line, with TeX's ten special characters escaped."""
    return SPECIAL_CHARACTERS.sub(
        lambda match: COMMANDS.get(match[0], "\\" + match[0]), " ".join(text.split())
    )
