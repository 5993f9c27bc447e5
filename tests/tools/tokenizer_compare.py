"""Compare two tokenizers case by case: outcomes as plain data, and a readable list of the first differences.

The sides are ours and the reference's (transformers 4.37.2) of one kind, "slow" or "fast". CONVBERT_NP_SIDES
chooses others, to try the comparison itself: "reference" compares each reference class with itself, which must
give no difference; "crossed" compares the two reference classes, which must give some.
"""

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizer_cases import Token, vocabulary_tokens
from tokenizer_deliberate import deliberate

WHICH = os.environ.get("CONVBERT_NP_SIDES", "")
ALLOWED = (TypeError, ValueError) if WHICH != "reference" else BaseException  # what ours may raise where the reference does
ALIKE = (LookupError, AttributeError, NotImplementedError)  # and these where the reference raises the same type


class Sides(NamedTuple):
    """Two tokenizer classes to compare, and the AddedToken of each."""

    kind: str
    ours: Any
    theirs: Any
    our_token: Any
    their_token: Any


def sides_of(kind: str, which: str | None = None) -> Sides:
    """The classes of a kind; `which` is CONVBERT_NP_SIDES unless given."""
    import transformers

    transformers.logging.set_verbosity(transformers.logging.FATAL + 1)
    names = {"slow": "ConvBertTokenizer", "fast": "ConvBertTokenizerFast"}
    theirs = getattr(transformers, names[kind])
    which = which or WHICH
    if which in ("reference", "crossed"):
        other = {"slow": "fast", "fast": "slow"}[kind] if which == "crossed" else kind
        return Sides(kind, getattr(transformers, names[other]), theirs, transformers.AddedToken, transformers.AddedToken)
    import convbert_np

    return Sides(kind, getattr(convbert_np, names[kind]), theirs, convbert_np.AddedToken, transformers.AddedToken)


def write_vocabulary(folder: Path, tokens: Iterable[str], name: str = "vocab.txt") -> Path:
    """A vocab.txt of these tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(token + "\n" for token in tokens), encoding="utf-8", newline="\n")
    return path


class Tokenizers:
    """The tokenizers of two sides by vocabulary and options, each made once."""

    def __init__(self, sides: Sides, folder: Path):
        self.sides, self.folder = sides, folder
        self.made: dict[Any, tuple[Any, Any]] = {}

    def get(self, vocabulary: str, **options: Any) -> tuple[Any, Any]:
        """Ours and theirs, with the vocabulary of this name in tokenizer_cases."""
        key = (vocabulary, *sorted(options.items()))
        if key not in self.made:
            path = self.folder / f"{vocabulary}.txt"
            if not path.exists():
                write_vocabulary(self.folder, vocabulary_tokens(vocabulary), path.name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                made = self.sides.ours(path, **options), self.sides.theirs(path, **options)
            for tokenizer in made:
                obey(tokenizer, options)
            self.made[key] = made
        return self.made[key]


def obey(tokenizer: Any, options: dict[str, Any]) -> None:
    """Make a fast tokenizer of the reference follow clean_text, which it documents and ignores."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and "clean_text" in options:
        from tokenizers.normalizers import BertNormalizer

        backend.normalizer = BertNormalizer(
            clean_text=options["clean_text"],
            handle_chinese_chars=options.get("tokenize_chinese_chars", True),
            strip_accents=options.get("strip_accents"),
            lowercase=options.get("do_lower_case", True),
        )


def plain(value: Any) -> Any:
    """A result as nested lists, tuples, dicts and strings that compare by content on either side."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, np.ndarray):
        return "array", str(value.dtype), value.shape, [plain(entry) for entry in value.tolist()]
    if isinstance(value, tuple):
        return tuple(plain(entry) for entry in value)
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if type(value).__name__ == "BatchEncoding":
        return [(key, plain(value[key])) for key in value]
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if type(value).__name__ == "AddedToken":
        return "AddedToken", *(
            getattr(value, name) for name in ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
        )
    return [plain(entry) for entry in value] if isinstance(value, Iterable) else repr(value)


def made(value: Any, token_class: Any) -> Any:
    """The same arguments with every Token made an AddedToken of one side."""
    if isinstance(value, Token):
        return token_class(value.content, **value.flags)
    if isinstance(value, list | tuple):
        return type(value)(made(entry, token_class) for entry in value)
    return {key: made(entry, token_class) for key, entry in value.items()} if isinstance(value, dict) else value


def outcome(function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
    """The plain result of a call of `function`, or the exception it raised (one from Rust may be no Exception).

    Warnings of the kinds that the reference gives on dubious arguments are no part of the comparison.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return plain(function(*arguments, **keywords))
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            return error


def ask(tokenizer: Any, name: str, /, *arguments: Any, **keywords: Any) -> Any:
    """Call the method of this name."""
    return getattr(tokenizer, name)(*arguments, **keywords)


def agree(ours: Any, theirs: Any) -> bool:
    """Equal results; or both raised, ours an exception that a caller of ours may expect."""
    if isinstance(ours, BaseException) and isinstance(theirs, BaseException):
        if (type(ours), str(ours)) == (type(theirs), str(theirs)):  # the reference's own, on files of either side
            return True
        return isinstance(ours, ALLOWED) or (isinstance(ours, ALIKE) and isinstance(theirs, type(ours)))
    return not isinstance(ours, BaseException) and not isinstance(theirs, BaseException) and ours == theirs


class Differences:
    """Counts the cases, the differences, and those that are on purpose, by reason."""

    def __init__(self, kind: str, shown: int = 6):
        self.kind, self.shown = kind, shown
        self.cases = self.differing = 0
        self.on_purpose: dict[str, int] = {}
        self.lines: list[str] = []

    def check(self, case: object, ours: Any, theirs: Any) -> bool:
        """Whether two outcomes agree, or differ on purpose."""
        self.cases += 1
        if agree(ours, theirs):
            return True
        reason = deliberate(case, ours, theirs)
        if reason:
            self.on_purpose[reason] = self.on_purpose.get(reason, 0) + 1
            return True
        self.differing += 1
        if len(self.lines) < self.shown:
            self.lines.append(f"{case if type(case) is not str else ascii(case)}\n{side_by_side(ours, theirs)}")
        return False

    def ask(self, case: object, pair: Any, name: str, /, *arguments: Any, **keywords: Any) -> None:
        """Compare what the method of this name answers on either side."""
        self.check(case, *(outcome(ask, one, name, *arguments, **keywords) for one in pair))

    def look(self, case: object, pair: Any, name: str) -> None:
        """Compare the attribute of this name."""
        self.check(case, *(outcome(getattr, one, name) for one in pair))

    def assert_none(self) -> None:
        """AssertionError with the first differences, if there is any; the count of what was compared is printed."""
        print(f"{self.kind}: {self.cases} compared, {self.differing} differ, on purpose: {self.on_purpose or 'none'}")
        assert self.cases, "nothing was compared"
        head = f"{self.differing} of {self.cases} cases differ ({self.kind}); the first:\n\n"
        assert not self.differing, head + "\n\n".join(self.lines)


def side_by_side(ours: Any, theirs: Any) -> str:
    """Two outcomes as text, each cut to where they begin to differ."""
    first, second = (shown(value) for value in (ours, theirs))
    start = next((index for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), 0)
    cut = max(0, start - 200)
    return "\n".join(
        f"    {name}: {'... ' if cut else ''}{text[cut : cut + 700]}" for name, text in (("ours", first), ("theirs", second))
    )


def shown(value: Any) -> str:
    """An outcome as ASCII text."""
    return f"{type(value).__name__}: {str(value)!a}" if isinstance(value, BaseException) else ascii(value)
