"""The names that exports have for the fields of a work, in CSV columns and JSON keys."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kb.literature.works import given_name_first

FIELDS = ("title", "authors", "year", "venue", "doi", "arxiv", "url", "abstract", "code")
FIELD_NAMES = {  # compared without capitals, spaces and punctuation; the better name first
    "title": (
        "title papertitle articletitle documenttitle worktitle itemtitle titel titre titulo "
        "primarytitle displayname fulltitle name"
    ),
    "authors": (
        "authorfullnames authorfullname authors author authornames authorlist creators creator "
        "autoren auteurs auteur autor autores paperauthors authorshipsauthordisplayname "
        "firstauthors au"
    ),
    "year": (
        "year publicationyear pubyear yearpublished publishedyear jahr annee ano issued date "
        "publicationdate publisheddate datepublished published coverdate updatedate py"
    ),
    "venue": (
        "venue publicationtitle sourcetitle journal journaltitle containertitle publicationname "
        "booktitle bookname conference conferencename proceedings proceedingstitle source "
        "publicationvenue journalname publication journalref journalbook revue zeitschrift "
        "primarylocationsourcedisplayname so"
    ),
    "doi": "doi doilink doiurl digitalobjectidentifier di",
    "arxiv": "arxiv arxivid arxivnumber eprint",
    "url": "url link urls links weblink href articleurl sourceurl landingpageurl pdflink pdfurl "
    "website",
    "abstract": "abstract abstractnote summary abstracts zusammenfassung resume description ab",
    "code": "code coderepository repository repo repourl codeurl github githuburl codelink",
}
ID_NAMES = "openalex openalexid openalexworkid semanticscholarid s2id paperid corpusid"
UNUSED = (  # what a work doesn't keep, and nobody misses
    "key itemtype type entrytype documenttype isbn issn eissn pages pagestart pageend firstpage "
    "lastpage artno articlenumber volume vol number issue dateadded datemodified accessdate "
    "numpages shorttitle series seriestext seriestitle publisher place language rights archive "
    "archivelocation librarycatalog callnumber extra notes note fileattachments tags edition "
    "linkattachments manualtags automatictags editor editors keywords authorkeywords id eid "
    "indexkeywords citedby citedbycount citations citationcount references affiliations "
    "authorswithaffiliations authorsid authorids journalabbreviation publicationstage "
    "openaccess pubmedid pmid pmcid correspondenceaddress conferencedate conferencelocation "
    "conferencecode coden month day bibtype cites names pagecount abbreviatedsourcetitle "
    "languageoforiginaldocument pagesfrom sponsors molecularsequencenumbers chemicalscas "
    "tradenames manufacturers fundingdetails fundingtexts"
)

MAX_INITIALS = 100  # characters of a name that may be written as Lind O.
MAX_ADDRESS = 2_000  # characters
OPENALEX = re.compile(r"openalex\.org/(?:works/)?(W\d{1,15})\b")
SEMANTIC_SCHOLAR = re.compile(r"semanticscholar\.org/paper/(?:[^/\s]+/)?([0-9a-f]{40})\b")
INITIALS_LAST = re.compile(r"^([^\W\d_]{2,}[^,.]*) ((?:[A-Z]\.-?){1,3})$")


def normalize(name: str) -> str:
    """The name in small letters, without spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name[:200]).lower()


def assign_names(names: Iterable[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """From field to the name that the file has for it: as chosen, or else the best known one."""
    by_normal: dict[str, str] = {}
    for name in names:
        by_normal.setdefault(normalize(name), name)
    assigned = {}
    for field, known in FIELD_NAMES.items():
        candidates = [normalize(chosen[field])] if field in chosen else known.split()
        found = next((by_normal[name] for name in candidates if name in by_normal), None)
        if found is not None:
            assigned[field] = found
    return assigned


def unread_notes(names: Iterable[str], assigned: Mapping[str, str]) -> list[str]:
    """What to say of the columns that were neither read nor are known to be of no use."""
    known = set(" ".join([*FIELD_NAMES.values(), UNUSED, ID_NAMES]).split())
    used = set(assigned.values())
    return [
        f"a field isn't read: {name[:40]!r}"
        for name in names
        if name.strip() and name not in used and normalize(name) not in known
    ]


def catalogue_names(*values: Any) -> list[str]:
    """The numbers of OpenAlex and Semantic Scholar in addresses: openalex:W1, s2:0a1b..."""
    names = []
    for value in values:
        text = str(value or "")[:MAX_ADDRESS]
        if match := OPENALEX.search(text):
            names.append(f"openalex:{match[1]}")
        if match := SEMANTIC_SCHOLAR.search(text):
            names.append(f"s2:{match[1]}")
    return names


def split_names(text: str) -> list[str]:
    """The people of one cell: `Lind, Ola; Berg, A`, `Ola Lind and A Berg`, `Lind O., Berg A.`."""
    text = " ".join(text.split())
    text = re.sub(r" \(\d{5,}\)", "", text)  # Scopus adds the number of an author
    separators = r";" if ";" in text else r" and | & |\|"
    parts = [part.strip() for part in re.split(separators, text)]
    if len(parts) == 1:
        parts = _split_at_commas(parts[0])
    parts = list(filter(None, parts))
    if len(parts) > 1 and all(map(_ends_with_initials, parts)):  # Lind O.; Berg A.
        parts = [INITIALS_LAST.sub(r"\1, \2", part) for part in parts]
    return [given_name_first(part) for part in parts]


def _ends_with_initials(name: str) -> bool:
    return len(name) <= MAX_INITIALS and INITIALS_LAST.match(name) is not None


def _split_at_commas(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1:
        return parts
    if all(" " in part for part in parts):  # whole names
        return parts
    if len(parts) > 2 and len(parts) % 2 == 0:  # Lind, O., Berg, A.
        return [f"{family}, {given}" for family, given in zip(parts[::2], parts[1::2], strict=True)]
    return [text] if len(parts) == 2 else parts


def people(value: Any) -> list[str]:
    """Names from any JSON value: one text, or a list of texts or of objects."""
    if isinstance(value, str):
        return split_names(value)
    if isinstance(value, Mapping):
        value = [value]
    names = []
    for person in value if isinstance(value, list | tuple) else ():
        if isinstance(person, Mapping):
            person = person_name(person)
        if isinstance(person, str):
            names.append(given_name_first(person))
    return names


def person_name(person: Mapping[str, Any]) -> str:
    """The name of a person as CSL, Zotero or Semantic Scholar have it."""

    def part(*keys: str) -> str:
        return next((str(person[key]) for key in keys if person.get(key)), "")

    whole = part("literal", "name", "display_name", "full_name")
    family = part("family", "lastName", "last_name", "last")
    particle = part("non-dropping-particle", "dropping-particle")
    given = part("given", "firstName", "first_name", "first")
    words = (given, particle, family, part("suffix"))
    return " ".join(filter(None, words)) if family else whole
