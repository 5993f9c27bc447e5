"""`convbert-np tokenize` and `convbert-np train-vocab`."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from convbert_np.cli.codes import OK, check_target, positive
from convbert_np.data import TINY
from convbert_np.tokenization import ConvBertTokenizer, ConvBertTokenizerFast
from convbert_np.tokenization.merges import CRITERIA
from convbert_np.tokenization.trainer import train_wordpiece
from convbert_np.tokenization.vocabulary import write_vocabulary

Tokenizer = ConvBertTokenizer | ConvBertTokenizerFast


def add_tokenize(commands: argparse._SubParsersAction) -> None:
    """`tokenize [TEXT ...]`."""
    command = commands.add_parser(
        "tokenize", help="cut text into tokens",
        description="Cut each TEXT, or each line of a file or of the standard input, into WordPiece tokens: one line of output "
        "for each line of text.",
    )  # fmt: skip
    command.add_argument("texts", metavar="TEXT", nargs="*", help="without it lines are read from --file")
    command.add_argument("--file", metavar="FILE", help="UTF-8 text, read by lines (default: -, the standard input)")
    command.add_argument(
        "--vocab", metavar="PATH", default=str(TINY),
        help="a vocab.txt, a tokenizer.json, or a directory with either and its settings (default: that of the package)",
    )  # fmt: skip
    command.add_argument(
        "--cased", action="store_true", help="do not lower-case (a directory or a tokenizer.json says so itself)"
    )
    command.add_argument("--slow", action="store_true", help="the rules of the reference's slow class (default: the fast one)")
    command.add_argument("--special", action="store_true", help="add [CLS] and [SEP]")
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--ids", action="store_true", help="print ids instead of tokens")
    shown.add_argument("--json", action="store_true", help="print tokens, ids, offsets and words as a JSON object")
    shown.add_argument("--explain", action="store_true", help="show every stage, and for every word the pieces that were tried")
    command.set_defaults(command=run_tokenize)


def run_tokenize(parsed: argparse.Namespace) -> int:
    """`tokenize [TEXT ...]`."""
    if parsed.texts and parsed.file is not None:
        raise ValueError("--file: give either TEXT or a file")
    tokenizer = load_tokenizer(parsed.vocab, parsed.cased, parsed.slow)
    for text in parsed.texts or lines_of(parsed.file or "-"):
        print(shown_text(tokenizer, text, parsed))
    return OK


def load_tokenizer(path: str, cased: bool, slow: bool) -> Tokenizer:
    """The tokenizer of a directory, a vocab.txt or a tokenizer.json."""
    kind = ConvBertTokenizer if slow else ConvBertTokenizerFast
    settings: dict[str, Any] = {"do_lower_case": False} if cased else {}
    return kind.from_pretrained(path, **settings) if Path(path).exists() else kind(path, **settings)


def shown_text(tokenizer: Tokenizer, text: str, parsed: argparse.Namespace) -> str:
    """What is printed for a text."""
    if parsed.explain:
        return str(tokenizer.explain(text))
    offsets = tokenizer.is_fast and parsed.json
    encoding = tokenizer(text, add_special_tokens=parsed.special, verbose=False, return_offsets_mapping=offsets)
    ids = encoding["input_ids"]
    if parsed.ids:
        return " ".join(map(str, ids))
    tokens = tokenizer.convert_ids_to_tokens(ids)
    if not parsed.json:
        return " ".join(tokens)
    found = {"text": text, "tokens": tokens, "ids": ids}
    if tokenizer.is_fast:
        found |= {"offsets": encoding["offset_mapping"], "words": encoding.word_ids()}
    return json.dumps(found, ensure_ascii=False)


def lines_of(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file, or of the standard input, without their ends; ValueError naming it if it is no UTF-8."""
    name = "the standard input" if path == "-" else path
    if path != "-" and not Path(path).is_file():
        raise FileNotFoundError(f"{path} is no file")
    if path == "-" and sys.stdin.isatty():
        print("reading lines from the standard input", file=sys.stderr)
    file = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115
    with file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{name}: line {number} is not UTF-8: {error}") from None
            yield text.removesuffix("\n").removesuffix("\r")


def add_train_vocab(commands: argparse._SubParsersAction) -> None:
    """`train-vocab CORPUS... --size N --out FILE`."""
    command = commands.add_parser(
        "train-vocab", help="make a WordPiece vocabulary from text",
        description="Make a vocab.txt from the lines of UTF-8 files: pieces are merged by the gain in the text's likelihood.",
    )  # fmt: skip
    command.add_argument("corpus", metavar="CORPUS", nargs="+", help="text files; - is the standard input")
    command.add_argument("--size", metavar="N", type=positive, default=30000, help="tokens in all (default: 30000)")
    command.add_argument("--out", metavar="FILE", required=True, help="the vocab.txt to write")
    command.add_argument("--overwrite", action="store_true", help="replace the file if there is one")
    command.add_argument("--cased", action="store_true", help="do not lower-case")
    command.add_argument("--accents", action="store_true", help="keep accents (default: only with --cased)")
    command.add_argument("--min-frequency", metavar="N", type=positive, default=2, help="of a pair to be merged (default: 2)")
    command.add_argument("--alphabet", metavar="N", type=positive, default=1000, help="characters kept (default: 1000)")
    command.add_argument("--unused", metavar="N", type=int, default=0, help="entries [unused0] ... to keep free (default: 0)")
    command.add_argument("--criterion", choices=tuple(CRITERIA), default="likelihood", help="which pair is merged next")
    command.set_defaults(command=run_train_vocab)


def run_train_vocab(parsed: argparse.Namespace) -> int:
    """`train-vocab CORPUS... --size N --out FILE`."""
    check_target(parsed.out, "--out")
    if Path(parsed.out).exists() and not parsed.overwrite:
        raise ValueError(f"--out: {parsed.out!r} exists; --overwrite replaces it")
    for path in parsed.corpus:
        if path != "-" and not Path(path).is_file():
            raise FileNotFoundError(f"{path} is no file")
        if path != "-" and Path(parsed.out).exists() and Path(path).samefile(parsed.out):
            raise ValueError(f"--out: {parsed.out!r} is part of the CORPUS")
    try:
        tokens = train(parsed)
    except ValueError as error:
        raise ValueError(in_options(str(error))) from None
    write_vocabulary(tokens, parsed.out)
    short = "" if len(tokens) == parsed.size else f" (the text gives no more; --size was {parsed.size})"
    print(f"written: {parsed.out}, {len(tokens)} tokens{short}")
    return OK


def in_options(message: str) -> str:
    """A message of `train_wordpiece` with the options in place of its arguments."""
    for argument, option in (("vocab_size", "--size"), ("limit_alphabet", "--alphabet"), ("unused must", "--unused must")):
        message = message.replace(argument, option)
    return message.replace("texts hold", "CORPUS holds")


def train(parsed: argparse.Namespace) -> list[str]:
    """The tokens, as the options ask."""
    return train_wordpiece(
        all_lines(parsed.corpus),
        parsed.size,
        min_frequency=parsed.min_frequency,
        limit_alphabet=parsed.alphabet,
        unused=parsed.unused,
        do_lower_case=not parsed.cased,
        strip_accents=False if parsed.accents else None,
        criterion=parsed.criterion,
    )


def all_lines(paths: Iterable[str]) -> Iterator[str]:
    """The lines of all files, one after the other."""
    for path in paths:
        yield from lines_of(path)
