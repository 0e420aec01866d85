"""Tables of text as pandas, numpy and spreadsheets write them: read with what was found said, or refused.

Decompression, decoding and the split into fields; what the fields mean is in `tables`. Nothing is guessed
silently: what is detected is in a table's notes and can be given, and errors name the file, the line and the
cause.
"""

import bz2
import codecs
import collections
import csv
import dataclasses
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
SAMPLE = 100  # records that the delimiter is detected from
SHOWN = 40  # characters of a field, and fields of a line, that a message shows
COMPRESSED = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ": ("xz", lzma.decompress),
}
FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
    b"ARROW1": "a Feather file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a file of one array",
    b"%PDF": "a PDF",
}
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What pandas reads as missing.
_WORDS = "#N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null"
MISSING = frozenset(["", "#N/A N/A", *_WORDS.split()])
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
BOOLEANS = {"true": 1.0, "false": 0.0}


@dataclasses.dataclass(frozen=True)
class Dialect:
    r"""How a table is written; what is not given is detected.

    Attributes:
        delimiter: what separates columns: a character, or "tab".
        header: whether the first row names the columns.
        decimal: the sign before the decimals of a number.
        encoding: of the text, such as utf-8, cp1252 or utf-16.
        keep_index: uses a first column that counts the rows or has no name, which is left out as the index
            that pandas writes.
    """

    delimiter: str | None = None
    header: Literal["auto", "yes", "no"] = "auto"
    decimal: Literal[".", ","] = "."
    encoding: str | None = None
    keep_index: bool = False

    def __post_init__(self):
        if self.delimiter is not None and len(self.separator or "") != 1:
            raise ValueError(f"delimiter={self.delimiter!r}: give one character, or tab")

    @property
    def separator(self) -> str | None:
        """The delimiter as a character."""
        return {"tab": "\t", "\\t": "\t", "space": " "}.get(self.delimiter or "", self.delimiter)


@dataclasses.dataclass(frozen=True)
class Record:
    """One row: the line that it begins in, and its fields."""

    line: int
    fields: list[str]


@dataclasses.dataclass(frozen=True)
class Records:
    """The rows of a file, all of the same length, with what was found on the way."""

    rows: list[Record]
    comments: list[Record]  # lines that begin with #, split as the rows are
    notes: list[str]


def number(text: str, decimal: str = ".") -> float | None:
    """A field as a number; `None` if it is none. Missing values are none; infinite ones are."""
    if decimal == ",":
        text = text.replace(",", ".") if "." not in text else f"{text}?"
    if NUMBER.fullmatch(text) or INFINITE.fullmatch(text):
        return float(text)
    return BOOLEANS.get(text.lower())


def shown(text: str) -> str:
    """A field for a message, shortened."""
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")


def listed(names: Sequence[str]) -> str:
    """Names for a message, the first of them if they are many."""
    text = ", ".join(name if len(name) <= SHOWN else f"{name[: SHOWN - 3]}..." for name in names[:8])
    return text if len(names) <= 8 else f"{text} and {len(names) - 8} more"


def read_records(path: Path, dialect: Dialect) -> Records:
    """The rows of a table of text; `ValueError` with the file, the line and the cause."""
    text, notes = _text(path, dialect.encoding)
    if not text.strip():
        raise ValueError(f"{path} is empty; give a table with a row a sample")
    separator = dialect.separator
    excel = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)  # Excel's own way to name it
    if excel:
        text, separator = "\n" + text[excel.end() :], separator or excel[1]
    separator = separator or _detected(path, text)
    comments: list[Record] = []
    found = list(_split(path, text, separator, comments))
    rows = [record for record in found if any(record.fields)]
    if not rows:
        raise ValueError(f"{path} holds no values; give a table with a row a sample")
    notes.append(f"columns separated by {DELIMITERS.get(separator, repr(separator))}")
    if len(rows) < len(found):
        notes.append(f"{len(found) - len(rows)} rows without any value left out")
    return Records(_of_one_length(path, rows), comments, notes)


def _text(path: Path, encoding: str | None) -> tuple[str, list[str]]:
    """The decompressed and decoded text, and how it was both."""
    data, notes = path.read_bytes(), []
    for magic, (name, decompress) in COMPRESSED.items():
        if data.startswith(magic):
            try:
                data = decompress(data)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise ValueError(
                    f"{path}: its {name} compression is damaged or cut short ({error})"
                ) from error
            notes.append(name)
    for magic, what in FOREIGN.items():
        if data.startswith(magic):
            raise ValueError(f"{path} is {what} and no text; write the table with pandas' DataFrame.to_csv")
    marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    chosen = encoding or marked or _without_mark(data)
    try:
        text = data.decode(chosen)
    except LookupError as error:
        raise ValueError(f"encoding={encoding!r}: Python knows no such encoding") from error
    except UnicodeDecodeError as error:
        if encoding is None and chosen == "utf-8":
            return _western(path, data, notes)
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: the text is not {chosen} ({error.reason})") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}, line {line}: a zero byte, so it is no text, or of another encoding")
    return text, [*notes, chosen.removesuffix("-sig").upper()]


def _western(path: Path, data: bytes, notes: list[str]) -> tuple[str, list[str]]:
    """What is not UTF-8, as the encoding of Windows in western Europe and America."""
    try:
        return data.decode("cp1252"), [*notes, "cp1252, since it is not UTF-8"]
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: the text is neither UTF-8 nor cp1252; name its encoding: --encoding"
        ) from error


def _without_mark(data: bytes) -> str:
    """UTF-8, or UTF-16 by the zeros in it, of a text without a byte order mark."""
    start = data[:1000]
    if start.count(0) * 3 < len(start) or not start:
        return "utf-8"
    return "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"


def _split(path: Path, text: str, separator: str, comments: list[Record]) -> Iterator[Record]:
    """The rows as they stand there; lines that begin with # go to `comments`."""
    begun = 0  # the line in which the record that is being read begins; 0 between records

    def lines() -> Iterator[str]:
        nonlocal begun
        for i, line in enumerate(io.StringIO(text, newline=""), start=1):
            if not begun and line.startswith("#"):
                comments.append(Record(i, [field.strip() for field in line.strip("# \r\n").split(separator)]))
                continue
            begun = begun or i
            yield line

    # Strict, so that what follows a closing quotation mark is an error and no part of the field.
    reader = csv.reader(lines(), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for fields in reader:
            stripped = [field.strip() for field in fields]
            if separator == " " and stripped[-1:] == [""]:
                stripped.pop()  # spaces at the end of a line
            if stripped:
                yield Record(begun, stripped)
            begun = 0
    except csv.Error as error:
        raise ValueError(f"{path}, line {begun}: {_cause(error)}") from error


def _cause(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quotation mark opens a field that does not end; remove it, or close the field"
    if "expected after" in text:
        return "something follows a closing quotation mark; remove the mark, or double it inside a field"
    if "field limit" in text:
        return (
            f"a field of more than {csv.field_size_limit():,} characters; is there a quotation mark that is "
            "not closed?"
        )
    return text


def _detected(path: Path, text: str) -> str:
    """The delimiter that splits the first rows alike, and into the most numbers."""

    def score(separator: str) -> float:
        try:
            first = list(zip(_split(path, text, separator, []), range(SAMPLE), strict=False))
        except ValueError:
            return 0
        lengths = collections.Counter(len(record.fields) for record, _ in first)
        if not lengths:
            return 0
        length, count = lengths.most_common(1)[0]
        if length < 2:
            return 0
        fields = [field for record, _ in first if len(record.fields) == length for field in record.fields]
        decimals = "." if separator == "," else ","
        numbers = sum(number(field) is not None or number(field, decimals) is not None for field in fields)
        return (1 + numbers / len(fields)) * count / len(first)

    scores = {separator: score(separator) for separator in DELIMITERS}
    best = max(scores, key=scores.__getitem__)
    if not scores[best]:
        for _ in _split(path, text, ",", []):  # a stray quotation mark is the cause, if there is one
            pass
        raise ValueError(
            f"{path}: no two columns were found, separated by {', '.join(DELIMITERS.values())}; name what "
            "separates them: --delimiter"
        )
    return best


def _of_one_length(path: Path, rows: list[Record]) -> list[Record]:
    """The rows, all as long as the first, but for an index that the header has no name for."""
    longest = max(len(record.fields) for record in rows)
    while not any(record.fields[-1] for record in rows if len(record.fields) == longest):
        rows = [Record(record.line, record.fields[: longest - 1]) for record in rows]
        longest -= 1  # a delimiter ends each row
    first, rest = rows[0], rows[1:]
    length = len(first.fields)
    if rest and all(len(record.fields) == length + 1 for record in rest):
        return [Record(first.line, ["", *first.fields]), *rest]
    for record in rest:
        if len(record.fields) != length:
            count = len(record.fields)
            values = f"{count} {'value' if count == 1 else 'values'} for {length} columns"
            runs_on = any("\n" in field for field in record.fields)
            hint = ", and a quotation mark that is closed in a later line" if runs_on else ""
            alike = len(rest) > 1 and len({len(other.fields) for other in rest}) == 1
            if alike:
                hint = f"; is line {first.line} a title? Begin it with #, or remove it"
            raise ValueError(f"{path}, line {record.line}: {values}{hint}")
    return rows
