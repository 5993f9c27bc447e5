"""Files of examples: CSV, TSV and JSON lines as lines of named cells, each of which knows where it stands."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
ENDINGS = (*DELIMITERS, *JSON_LINES, ".conll", ".txt")  # of all tasks


class Line(NamedTuple):
    """Cells by the name of their column, and where they stand: "train.csv, line 7"."""

    place: str
    cells: dict[str, Any]


def read_text(path: str | os.PathLike[str]) -> str:
    """A UTF-8 file, without the byte order mark that it may begin with. Raises FileNotFoundError or ValueError naming it."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    data = Path(path).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: is not UTF-8: {error}") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file. Raises FileNotFoundError or ValueError naming it."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not valid JSON: {error}") from None


def read_table(path: str | os.PathLike[str], header: bool = True) -> list[Line]:
    """The lines of a file, by its ending.

    .csv    comma-separated, "quoted" where need be; the first line names the columns
    .tsv    tab-separated, without quotes
    .jsonl  a JSON object in each line; .json, too, or a list of such objects

    Without `header` the columns are called "1", "2", ... Empty lines are passed over. Raises ValueError naming file and line.
    """
    ending = Path(path).suffix.lower()
    if ending not in (*DELIMITERS, *JSON_LINES):
        raise ValueError(f"{path}: must end in {', '.join([*DELIMITERS, *JSON_LINES])}, which says how it is to be read")
    text = read_text(path)
    lines = list(json_lines(path, text) if ending in JSON_LINES else separated_lines(path, text, DELIMITERS[ending], header))
    if not lines:
        raise ValueError(f"{path}: holds no examples")
    return lines


def json_lines(path: str | os.PathLike[str], text: str) -> Iterator[Line]:
    """The objects of a .jsonl file, or of a list in a .json file."""
    if Path(path).suffix.lower() == ".json" and text.lstrip().startswith("["):
        yield from (json_line(f"{path}, item {number}", cells) for number, cells in enumerate(read_json(path), 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place}: is not valid JSON: {error}") from None
        yield json_line(place, cells)


def json_line(place: str, cells: Any) -> Line:
    """The line of a JSON object. Raises ValueError for any other value."""
    if not isinstance(cells, dict):
        raise ValueError(f"{place}: must hold a JSON object, holds a {type(cells).__name__}")
    return Line(place, cells)


def separated_lines(path: str | os.PathLike[str], text: str, delimiter: str, header: bool) -> Iterator[Line]:
    """The rows of a .csv or .tsv file. A row may go over several lines, and is named by the last of them."""
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    names: list[str] | None = None
    try:
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if names is None:
                names = column_names(place, row, header)
                if header:
                    continue
            if len(row) != len(names):
                raise ValueError(f"{place}: has {len(row)} cells, the first line has {len(names)}")
            yield Line(place, dict(zip(names, row, strict=True)))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None


def column_names(place: str, row: list[str], header: bool) -> list[str]:
    """The names of the columns, from the first line."""
    names = [cell.strip() for cell in row] if header else [str(number) for number in range(1, len(row) + 1)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{place}: names the column {sorted(twice)[0]!r} twice")
    return names


def text_cell(line: Line, column: str, option: str) -> str:
    """A cell that must be there and must be text. Raises ValueError naming the place, and the option that chose the column."""
    if column not in line.cells:
        listed = ", ".join(map(repr, line.cells))
        raise ValueError(f"{line.place}: has no column {column!r}, only {listed}; the option {option!r} names another")
    if not isinstance(line.cells[column], str):
        raise ValueError(f"{line.place}: {column} must be text, is {line.cells[column]!r:.80}")
    return line.cells[column]
