"""Files as text: compressed or not, in any encoding, in pieces of bounded size."""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import charset_normalizer

from kb.literature.works import Unreadable

CHUNK_BYTES = 1 << 18
HEAD_BYTES = 1 << 18  # by which encoding and format are detected
MAX_LINE = 8_000_000  # characters; a longer one is one rejected record
MAX_COUNTED = 1000  # bytes by which UTF-16 without a mark is detected
MIN_UTF16 = 16  # bytes
MIN_DETECTED = 20  # bytes beyond ASCII, by which a detection can be trusted
BYTE_ORDER_MARKS = {  # the longer ones first: that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FORMS = "BibTeX, RIS, Web of Science, CSV, JSON and JSON lines"
NO_TEXT = {  # how files of other kinds begin
    b"PK\x03\x04": "a ZIP archive or a spreadsheet: unpack it, or save it as CSV",
    b"%PDF": "a PDF: export the bibliography of your reference manager",
    b"BZh": "compressed with bzip2: unpack it, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz: unpack it, or compress it with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it, or compress it with gzip",
    b"PAR1": "a Parquet file: save it as CSV or JSON lines",
    b"SQLite format 3": "an SQLite database: export its works as CSV or JSON lines",
}
WINDOWS_1252 = {  # what a byte that isn't UTF-8 stands for, if it is Windows-1252 or Latin-1
    0xDC00 + byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(128, 256)
}
NOT_UTF8 = re.compile("[\udc80-\udcff]")


class TextSource:
    """A file of literature, which can be read several times.

    `encoding` is detected unless it is given; `columns` are the names that the file has for fields
    of works, where they can't be guessed. `no_text` says what the file is if it isn't text, `notes`
    how it was read, `damage` why its end couldn't be.
    """

    def __init__(
        self, path: Path, encoding: str | None = None, columns: Mapping[str, str] | None = None
    ) -> None:
        if not path.exists():
            raise FileNotFoundError(2, "No such file or directory", str(path))
        if not path.is_file():
            raise Unreadable(f"{path} is not a file")
        self.path = path
        self.columns = dict(columns or {})
        self.damage = ""
        self._mixed = self._lost = False
        start = self._read_start()
        self.no_text = next((NO_TEXT[one] for one in NO_TEXT if start.startswith(one)), "")
        self.encoding, self._note = _detect_encoding(start, encoding)
        self.head = "".join(self._decode(iter([start])))

    @property
    def notes(self) -> list[str]:
        notes = [self._note] if self._note else []
        if self._mixed:
            notes.append("some bytes aren't UTF-8 and were read as Windows-1252")
        if self._lost:
            notes.append(f"some characters aren't {self.encoding} (--encoding chooses another)")
        return notes

    def chunks(self) -> Iterator[str]:
        """The text, each end of a line as one \\n; it ends early where the file is damaged."""
        self._mixed = self._lost = False
        yield from self._decode(self._blocks())

    def lines(self) -> Iterator[tuple[int, str | None]]:
        """Each line with its number; None for one that is longer than MAX_LINE."""
        number = 1
        parts: list[str] = []
        size = 0
        for chunk in self.chunks():
            *ended, rest = chunk.split("\n")
            for piece in ended:
                size += len(piece)
                yield number, None if size > MAX_LINE else f"{''.join(parts)}{piece}\n"
                number, parts, size = number + 1, [], 0
            size += len(rest)
            parts = [] if size > MAX_LINE else [*parts, rest] if rest else parts
        if size:
            yield number, None if size > MAX_LINE else "".join(parts)

    def _read_start(self) -> bytes:
        """The first bytes of the text, fewer if the compressed data end or are damaged there."""
        start = b""
        for block in self._blocks():
            start += block
            if len(start) >= HEAD_BYTES:
                break
        if self.damage and not start:
            raise Unreadable(f"{self.path}: {self.damage}")
        return start

    def _open(self) -> gzip.GzipFile | io.BufferedReader:
        with self.path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        return gzip.open(self.path, "rb") if gzipped else self.path.open("rb")

    def _blocks(self) -> Iterator[bytes]:
        self.damage = ""
        with self._open() as file:
            try:
                while block := file.read1(CHUNK_BYTES):  # what can be read before damage
                    yield block
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                self.damage = f"the compressed file is damaged or cut short here: {error}"

    def _decode(self, blocks: Iterator[bytes]) -> Iterator[str]:
        errors = "surrogateescape" if self.encoding == "utf-8" else "replace"
        decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(self.encoding)(errors), translate=True
        )
        for block in blocks:
            yield self._replace_bytes(decoder.decode(block))
        if rest := decoder.decode(b"", final=True):
            yield self._replace_bytes(rest)

    def _replace_bytes(self, text: str) -> str:
        if text.isascii():
            return text
        self._lost = self._lost or (self.encoding != "utf-8" and "\ufffd" in text)
        if not NOT_UTF8.search(text):
            return text
        self._mixed = True
        return text.translate(WINDOWS_1252)


def _detect_encoding(start: bytes, requested: str | None) -> tuple[str, str]:
    """The encoding of a text that begins with these bytes, and what to say about it."""
    if requested:
        try:
            return codecs.lookup(requested).name, ""
        except LookupError:
            raise Unreadable(
                f"there is no encoding {requested!r}; usual ones are utf-8, utf-16, cp1252, latin-1"
            ) from None
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return encoding, "" if mark == codecs.BOM_UTF8 else f"the file is {encoding.upper()}"
    if encoding := _unmarked_utf16(start):
        return encoding, f"the file is {encoding.upper()} without a byte order mark"
    return _detect_8_bit(start)


def _unmarked_utf16(start: bytes) -> str:
    """Text in Latin letters has a zero byte in each pair; anything else with zeros isn't text."""
    sample = start[:MAX_COUNTED]
    if len(sample) < MIN_UTF16:
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 0.3 * len(sample) and not even:
        return "utf-16-le"
    return "utf-16-be" if even > 0.3 * len(sample) and not odd else ""


def _detect_8_bit(start: bytes) -> tuple[str, str]:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8", ""
    text = start.decode("utf-8", "surrogateescape")
    if sum(map(len, NOT_UTF8.findall(text))) < sum(not c.isascii() for c in text) / 2:
        return "utf-8", ""  # but for some bytes
    lines = [line for line in start.split(b"\n") if not line.isascii()]
    best = charset_normalizer.from_bytes(b"\n".join(lines)[:20_000]).best()
    encoding = best.encoding if best else "cp1252"
    if len(NOT_UTF8.findall(text)) < MIN_DETECTED or encoding in ("latin_1", "iso8859_15"):
        encoding = "cp1252"  # too little to tell; and what Windows calls Latin-1
    name = "Windows-1252 (Latin-1)" if encoding == "cp1252" else encoding
    return encoding, f"the file isn't UTF-8; it was read as {name} (--encoding chooses another)"
