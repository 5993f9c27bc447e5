"""The character tables against the reference on every code point of Unicode: zero differences.

Each function of a character is put beside what the reference does with that character between two others. The classes
of marks are judged by how NFD orders them, alone and in random strings that go through all of BertNormalizer.
"""

import itertools
import random
import unicodedata
from typing import Any

import pytest

from convbert_np.tokenization.characters import PINNED, UNICODEDATA, Characters

pytestmark = pytest.mark.parity

ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CHUNKS = [ALL[start : start + 4096] for start in range(0, len(ALL), 4096)]
OPTIONS = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")


@pytest.fixture(scope="module")
def tokenizers() -> Any:
    library = pytest.importorskip("tokenizers", reason="the reference is not installed")
    pytest.importorskip("tokenizers.normalizers")
    pytest.importorskip("tokenizers.pre_tokenizers")
    assert library.__version__ == "0.15.2"
    return library


def differing(theirs, ours, context="a{}b", between="") -> list[str]:
    """The characters that two functions of a text treat differently, each in the context; many are asked at once."""

    def different(text: str) -> bool:
        return theirs(text) != ours(text)

    suspects = [c for chunk in CHUNKS if different(between.join(map(context.format, chunk))) for c in chunk]
    return [f"U+{ord(c):04X}" for c in suspects if different(context.format(c))]


# ---- the stages, built of the functions of one character


def clean(characters: Characters, text: str) -> str:
    kept = (c for c in text if not characters.is_dropped(c))
    return "".join(" " if characters.is_space(c) else c for c in kept)


def space_chinese(characters: Characters, text: str) -> str:
    return "".join(f" {c} " if characters.is_chinese(c) else c for c in text)


def nfd(characters: Characters, text: str) -> str:
    """Decompose each character, then sort each run of characters with a class other than 0 by class."""
    decomposed = "".join(map(characters.decompose, text))
    runs = itertools.groupby(decomposed, key=lambda c: characters.combining(c) > 0)
    return "".join("".join(sorted(run, key=characters.combining) if moved else run) for moved, run in runs)


def strip_accents(characters: Characters, text: str) -> str:
    return "".join(c for c in nfd(characters, text) if not characters.is_mark(c))


def lower(characters: Characters, text: str) -> str:
    return "".join(map(characters.lower, text))


STAGES = dict(zip(OPTIONS, (clean, space_chinese, strip_accents, lower), strict=True))


def stages(options: dict[str, bool], text: str) -> str:
    """The stages whose option is on, in the order of BertNormalizer."""
    for option, stage in STAGES.items():
        text = stage(PINNED, text) if options[option] else text
    return text


def pieces(characters: Characters, text: str) -> list[str]:
    """Cut at white space and around punctuation."""
    spaced = (" " if characters.splits(c) else f" {c} " if characters.is_punctuation(c) else c for c in text)
    return [word for word in "".join(spaced).split(" ") if word]


# ---- the fast class


@pytest.mark.parametrize("option", OPTIONS)
def test_one_option_on_every_code_point(tokenizers, option):
    options = dict.fromkeys(OPTIONS, False) | {option: True}
    theirs = tokenizers.normalizers.BertNormalizer(**options)
    assert differing(theirs.normalize_str, lambda text: stages(options, text)) == []


@pytest.mark.parametrize("switches", list(itertools.product((False, True), repeat=4)))
def test_options_together(tokenizers, switches):
    """Alone every code point, and in strings of characters that act on each other."""
    options = dict(zip(OPTIONS, switches, strict=True))
    theirs = tokenizers.normalizers.BertNormalizer(**options)
    if all(switches):
        assert differing(theirs.normalize_str, lambda text: stages(options, text)) == []
    for text in random_strings(2000, seed=sum(switches)):
        assert stages(options, text) == theirs.normalize_str(text), ascii(text)


def random_strings(count: int, seed: int) -> list[str]:
    """Strings of marks and what decomposes, mixed with some of everything."""
    generator = random.Random(seed)
    marks = [c for c in ALL if UNICODEDATA.combining(c) or unicodedata.category(c)[0] == "M"]
    survivors = [c for c in marks if PINNED.combining(c) and not PINNED.is_mark(c)]
    decomposing = [c for c in ALL if len(UNICODEDATA.decompose(c)) > 1 and not "\uac00" <= c <= "\ud7a3"]
    pools = (marks, marks, survivors, survivors, decomposing, list("aB\u0130 .\t\x1c\u2028\ufffd\u4e00\uac01"), ALL)
    lengths = (generator.randint(1, 12) for _ in range(count))
    return ["".join(generator.choice(generator.choice(pools)) for _ in range(length)) for length in lengths]


def test_decomposition_of_every_code_point(tokenizers):
    theirs = tokenizers.normalizers.NFD().normalize_str
    assert differing(theirs, lambda text: "".join(map(PINNED.decompose, text))) == []


def test_combining_class_of_every_code_point(tokenizers):
    """Every character beside a mark of the highest and of the lowest class; those that either side moves beside all classes."""
    theirs = tokenizers.normalizers.NFD().normalize_str
    old = unicodedata.ucd_3_2_0
    marks = {old.combining(c): c for c in ALL if old.combining(c) and old.normalize("NFD", c) == c}
    low, high = marks[min(marks)], marks[max(marks)]
    for context in ("x" + high + "{}", "x{}" + low):
        assert differing(theirs, lambda text: nfd(PINNED, text), context) == []
    for c in (c for c in ALL if PINNED.combining(c)):
        text = "".join(f"x{m}{c}y{c}{m}" for m in marks.values())
        assert theirs(text) == nfd(PINNED, text), f"U+{ord(c):04X}"


def test_white_space_and_punctuation_of_every_code_point(tokenizers):
    pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    theirs = lambda text: [piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)]  # noqa: E731
    assert differing(theirs, lambda text: pieces(PINNED, text), between=" ") == []


# ---- the slow class


def test_the_slow_class_on_every_code_point():
    pytest.importorskip("transformers", reason="the reference is not installed")
    from transformers import tokenization_utils as utils
    from transformers.models.convbert.tokenization_convbert import BasicTokenizer

    basic = BasicTokenizer(do_lower_case=False)
    assert differing(basic._clean_text, lambda text: clean(UNICODEDATA, text)) == []
    assert differing(basic._tokenize_chinese_chars, lambda text: space_chinese(UNICODEDATA, text)) == []
    assert differing(basic._run_strip_accents, lambda text: strip_accents(UNICODEDATA, text)) == []
    assert differing(str.split, lambda text: "".join(" " if UNICODEDATA.splits(c) else c for c in text).split(" ")) == []
    theirs = [c for c in ALL if utils._is_punctuation(c)]
    assert theirs == [c for c in ALL if UNICODEDATA.is_punctuation(c)]
