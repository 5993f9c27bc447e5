"""The tokenizers: their parts against slow and simple counterparts, and what both classes and one class alone promise."""

import copy
import doctest
import gc
import itertools
import json
import pickle
import random
import string
import sys
import threading
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbert_np import AddedToken, BatchEncoding, ConvBertTokenizer, ConvBertTokenizerFast
from convbert_np.tokenization import engine as engine_module
from convbert_np.tokenization import fast_engine as fast_engine_module
from convbert_np.tokenization.cache import Cache, collector_paused
from convbert_np.tokenization.characters import UNICODEDATA
from convbert_np.tokenization.normalization import Normalization, canonical_order, compose
from convbert_np.tokenization.padding import pad_row, round_up
from convbert_np.tokenization.segments import act_on_neighbours, any_of, cut, find, lower_case, lower_except
from convbert_np.tokenization.truncation import fair_lengths, shares, truncate_fast, truncate_slow, windows
from convbert_np.tokenization.vocabulary import lines_of, numbered, read_lines
from convbert_np.tokenization.wordpiece import WordPiece, clean_up_spaces, glue_pieces, join_pieces

VOCABULARY = Path(__file__).parent / "fixtures" / "untrained" / "vocab.txt"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NAMES = ("pad", "unk", "cls", "sep", "mask")
BOTH = (ConvBertTokenizer, ConvBertTokenizerFast)
KINDS = pytest.mark.parametrize("kind", BOTH, ids=["slow", "fast"])
DROPPED = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"  # white space to Python, control characters to BERT
NASTY = (
    "aAzZ\u00e9\u00c5\u0130\u00df\u03a3\u03c3\u01c5\ufb01\u0301\u0316\u0327\u0345\u0650\u0f73\u0903\U0001d16d\u302e\U0001d165\u200d\ud55c\u1100\u1161"
    "\u4e00\u4e2d\uf900\U00020000 \t\n\r\xa0\u3000\u2028\u200b\x00\x07\xad\ufeff\ufffd\uffff.,-_[]'#$\u2026\uff0c\u00bf\U0001f600"
) + DROPPED
KEPT_MARKS = "\U0001d165\U0001d16d\u302e"  # no nonspacing marks, but combining characters that are sorted
UNSORTED = NASTY.translate(dict.fromkeys(map(ord, KEPT_MARKS)))
WORDS = st.lists(
    st.sampled_from(["the", "King", "love", "[MASK]", "caf\u00e9", "don't", "x" * 101, "\u4e00", "[mask]"]),
    min_size=1,
    max_size=9,
)


def nasty_texts(count: int, length: int, alphabet: str = NASTY) -> list[str]:
    """Random texts, the same in every run."""
    source = random.Random(7)
    return ["".join(source.choices(alphabet, k=source.randrange(length))) for _ in range(count)]


@pytest.fixture(params=BOTH, ids=["slow", "fast"], scope="module")
def tiny(request) -> Any:
    return request.param(VOCABULARY)


@pytest.fixture(scope="module")
def rich(tmp_path_factory) -> Path:
    """A vocabulary that has a piece for nearly every character of NASTY, as it is and normalized."""
    kinds = [NASTY, NASTY.lower(), unicodedata.normalize("NFD", NASTY), unicodedata.normalize("NFD", NASTY.lower())]
    characters = sorted({c for text in kinds for c in text if not c.isspace()})
    path = tmp_path_factory.mktemp("rich") / "vocab.txt"
    lines = [*SPECIAL, *characters, *(f"##{c}" for c in characters), "ab", "##ab", "don", "the"]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return path


def folder_with(folder: Path, *tokens: str, **files: object) -> Path:
    """A folder with a vocab.txt of the special tokens and `tokens`, and JSON files."""
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *tokens]), encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


# ---- normalization

FLAGS = [
    dict(zip(("clean", "chinese", "lower", "strip"), values, strict=True))
    for values in itertools.product((True, False), repeat=4)
]
NORMALIZATIONS = [
    *(Normalization(fast=True, **flags) for flags in FLAGS),
    *(Normalization(fast=False, **flags) for flags in FLAGS if flags["clean"]),
    Normalization(fast=False, basic=False),
]


def words_stage_by_stage(normalization: Normalization, text: str) -> list[str]:
    """The words of a text that goes through one stage after the other as a whole."""
    for name, stage in normalization.stages:
        text = normalization.apply(name, stage, text)
    return normalization.split(text)


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=repr)
def test_fused_stages_are_the_stages_one_by_one(normalization):
    for text in nasty_texts(300, 20):
        assert normalization.words(text) == words_stage_by_stage(normalization, text), ascii(text)


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=repr)
def test_the_words_of_many_lines_are_those_of_each(normalization):
    lines = nasty_texts(300, 12, NASTY.replace("\n", ""))
    expected = [normalization.words(line) for line in lines]
    assert normalization.words_of_lines(lines) == expected
    assert [normalization.words_of_lines([line])[0] for line in lines] == expected
    assert normalization.words_of_lines([]) == []


@pytest.mark.parametrize("normalization", [n for n in NORMALIZATIONS if n.fast], ids=repr)
def test_aligned_text_is_the_normalized_text_and_every_character_of_it_has_its_origin(normalization):
    for text in nasty_texts(300, 12, UNSORTED):
        normal, origins = normalization.aligned(text)
        assert normal == normalization.normalized(text), ascii(text)
        assert len(origins) == len(normal)
        assert all(new in normalization.normalized(text[at]) for new, at in zip(normal, origins, strict=True)), ascii(text)
        assert list(normalization.aligned(text, 5)[1]) == [at + 5 for at in origins]


def test_the_places_of_characters_are_not_sorted_along_with_them():
    normalization = Normalization(fast=True)
    assert normalization.aligned("\u0650\u0345\u0308\U0001d165 x") == ("\U0001d165 x", [1, 4, 5]), "as in the library"
    assert normalization.aligned("\u00e9\U0001d165 x\u0301") == ("e\U0001d165 x", [0, 1, 2, 3])


def test_white_space_is_a_space_in_normalized_text_where_an_added_token_may_hold_one():
    assert Normalization(fast=True).normalized("a\nb\tc") == "a b c"
    tokenizer = ConvBertTokenizerFast(VOCABULARY)
    tokenizer.add_tokens([AddedToken("the king")])
    assert tokenizer.tokenize("the\nking the\tking the  king") == ["the king", "the king", "the", "king"]
    uncleaned = ConvBertTokenizerFast(VOCABULARY, clean_text=False)
    uncleaned.add_tokens([AddedToken("the king")])
    assert uncleaned.tokenize("of\nthe king") == ["of", "the king"]


def test_words_never_split_stay_as_they_are_and_are_never_joined_with_others():
    normalization = Normalization(fast=False, never_split=frozenset(["[X]", "\u00e9-\u00e9"]))
    assert normalization.words("[X] \u00e9[X] \u00e9-\u00e9 \u00e9-\u00e9s") == [
        "[X]",
        "e",
        "[",
        "x",
        "]",
        "\u00e9-\u00e9",
        "e",
        "-",
        "es",
    ]
    assert normalization.words_of_lines(["[X]", "\u00c9"]) == [["[X]"], ["e"]]


def test_what_the_stages_are_in_each_class():
    fast, slow = Normalization(fast=True), Normalization(fast=False)
    assert [name for name, _ in fast.stages] == ["clean", "chinese", "strip", "lower", "punctuation"]
    assert [name for name, _ in slow.stages] == ["clean", "chinese", "compose", "lower", "strip", "punctuation"]
    assert Normalization(fast=False, basic=False).stages == []
    assert (
        fast.words("\u00c9t\u00e9,\u4e2d\u6587\x07!")
        == slow.words("\u00c9t\u00e9,\u4e2d\u6587\x07!")
        == ["ete", ",", "\u4e2d", "\u6587", "!"]
    )
    assert slow.words("\u037e") == [";"] and Normalization(fast=True, strip=False).words("\u037e") == ["\u037e"], (
        "only slow composes"
    )


@given(st.text(st.sampled_from("ae\u0301\u0316\u0327\u0345\u0650\u0f71\u0f72\u0903\u1d165\u0308\u0e38"), max_size=40))
def test_canonical_order_is_that_of_unicode(text):
    decomposed = "".join(map(UNICODEDATA.decompose, text))
    ordered = "".join(decomposed[i] for i in canonical_order(decomposed, UNICODEDATA))
    assert ordered == unicodedata.normalize("NFD", text)


@given(st.text(st.sampled_from("a\u0301\u0316\u0327\u0345\u0344\u0f73\u0903 \ud55c"), min_size=20, max_size=120))
def test_composition_is_nfc_also_of_long_runs_of_marks(text):
    assert compose(text) == unicodedata.normalize("NFC", text)


# ---- WordPiece


def longest_pieces(word: str, vocabulary: dict[str, int], prefix: str, longest: int) -> list[str] | None:
    """The pieces of a word by the definition: the longest that fits, again and again; None if nothing fits."""
    pieces: list[str] = []
    at = 0
    while at < len(word) <= longest:
        tried = [(prefix if at else "") + word[at:end] for end in range(len(word), at, -1)]
        found = next((piece for piece in tried if piece in vocabulary), None)
        if found is None:
            return None
        pieces.append(found)
        at += len(found) - (len(prefix) if at else 0)
    return pieces if at == len(word) else None


PIECES = st.lists(st.text("ab#", min_size=1, max_size=5), max_size=12)


@given(PIECES, PIECES, st.text("abc#", min_size=1, max_size=12), st.sampled_from(["##", "#", "", "ab"]), st.integers(1, 12))
def test_wordpiece_is_the_greedy_longest_match(starts, continuations, word, prefix, longest):
    tokens = dict.fromkeys(["?", *starts, *(prefix + piece for piece in continuations)])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    model = WordPiece(vocabulary, "?", prefix, longest)
    expected = longest_pieces(word, vocabulary, prefix, longest)
    ids, ends = model.match(word)
    assert ids == [vocabulary[piece] for piece in expected or ["?"]]
    assert model.tokens(word) == (expected or ["?"])
    lengths = [len(piece) - (len(prefix) if at else 0) for at, piece in enumerate(expected or [])]
    assert ends == (list(itertools.accumulate(lengths)) if expected else [len(word)])


def test_wordpiece_takes_the_longest_piece_first_and_never_goes_back():
    vocabulary = {token: number for number, token in enumerate(["?", "un", "u", "una", "##aff", "##able", "##f"])}
    assert WordPiece(vocabulary, "?").tokens("unaffable") == ["una", "##f", "##f", "##able"]
    assert WordPiece(vocabulary | {"##ff": 9}, "?").tokens("unaffable") == ["una", "##ff", "##able"]
    assert WordPiece(vocabulary, "?").tokens("unaffables") == ["?"], "greedy: no way back, and all or nothing"
    assert WordPiece(vocabulary, "?").tokens("xun") == WordPiece(vocabulary, "?").tokens("uun") == ["?"]


def test_a_word_of_more_than_100_characters_is_unknown():
    model = WordPiece({"?": 0, "a": 1, "##a": 2}, "?")
    assert model.tokens("a" * 100) == ["a"] + ["##a"] * 99
    assert model.match("a" * 101) == ([0], [101])


def test_pieces_are_glued_to_words():
    assert join_pieces(["", "the", "##s", ""]) == "thes" and join_pieces(["##the"]) == "##the"
    assert glue_pieces(["do", "##n", "'", "t", "##", "."]) == "don ' t." and glue_pieces(["##the"]) == "##the"
    assert glue_pieces(["a", "."]) == "a." and glue_pieces(["a", "."], cleanup=False) == "a ."
    assert clean_up_spaces("do n't , I 'm ' she 's .") == "don't, I'm'she's."


# ---- the cache


def test_a_cache_computes_once_and_never_holds_more_than_its_bound():
    computed = []
    cache: Cache[str] = Cache(lambda key: computed.append(key) or key.upper(), 4, 3)
    for key in ("a", "b", "a", "c", "d"):
        assert cache[key] == key.upper() and len(cache) <= 4
    assert computed == ["a", "b", "c", "d"]
    assert cache["e"] == "E" and list(cache) == ["b", "c", "d", "e"]
    assert cache["long"] == cache["long"] == "LONG" and "long" not in cache and computed[-2:] == ["long", "long"]
    cache.put("longer", "no")
    cache.put("xyz", "yes")
    assert "longer" not in cache and cache["xyz"] == "yes", "a key of just the longest length is kept"


def test_a_full_cache_forgets_every_eighth():
    cache: Cache[str] = Cache(str.upper, 32, 9)
    keys = [f"k{number}" for number in range(32)]
    for key in keys:
        cache[key]
    assert list(cache) == keys and cache.portion == 4
    cache.make_room(1)
    assert list(cache) == [key for number, key in enumerate(keys) if number % 8]
    cache.make_room(5)
    assert len(cache) == 22, "28 + 5 do not fit: every fifth is forgotten, so that 5 have room"
    assert all(cache[key] == key.upper() for key in keys)


def test_of_keys_that_just_do_not_fit_most_are_known_when_they_come_again():
    computed = []
    cache: Cache[str] = Cache(lambda key: computed.append(key) or key, 100, 9)
    for _ in range(20):
        computed.clear()
        for number in range(110):
            cache[str(number)]
    assert 10 <= len(computed) < 40, "had the oldest been forgotten, all would be computed each time"


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was_found(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(KeyError), collector_paused():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


@given(st.lists(st.one_of(st.integers(0, 30), st.lists(st.integers(0, 30), max_size=6))), st.integers(1, 12))
def test_a_cache_stays_within_its_bound(steps, entries):
    cache: Cache[int] = Cache(int, entries, 2)
    for step in steps:
        if isinstance(step, int):
            assert cache[str(step)] == step
        elif len(step) <= entries:
            cache.make_room(len(set(step)))
            cache.update({str(number): number for number in step})
        assert len(cache) <= entries


# ---- the engine

ADDED = [AddedToken("<new>"), AddedToken("x-y", normalized=True), AddedToken("Ab", single_word=True)]


def engines(kind: Any, path: Path) -> dict[str, Any]:
    """Tokenizers of a class with all sorts of options and added tokens."""
    made = {"plain": kind(path), "cased": kind(path, do_lower_case=False), "raw": kind(path, strip_accents=False)}
    made["whole"] = kind(path, tokenize_chinese_chars=False)
    for name, tokens in (("added", ADDED[:2]), ("flags", ADDED), ("space", [AddedToken("a b"), "\u4e00"])):
        made[name] = kind(path)
        made[name].add_tokens(tokens)
    if kind is ConvBertTokenizer:
        made["never"] = kind(path, never_split=["x-y", "\u00e9"])
        made["not basic"] = kind(path, do_basic_tokenize=False)
    else:
        made["not cleaned"] = kind(path, clean_text=False)
    return made


TEXTS = [
    *nasty_texts(150, 30),
    *(" ".join(words) for words in itertools.permutations(["the", "[MASK]", "<new>", "x-y", "Ab", "a b", "\u4e00\u00e9x-y"], 3)),
    *(f"the{c}Ab{c}{c}[MASK]{c}" for c in DROPPED),
]


@KINDS
def test_ids_do_not_depend_on_what_was_asked_before_nor_on_how_the_text_is_cut(kind, rich):
    for name, tokenizer in engines(kind, rich).items():
        cold = [copy.deepcopy(tokenizer).engine.ids(text) for text in TEXTS[::7]]
        warm = [tokenizer.engine.ids(text) for text in TEXTS]
        assert [tokenizer.engine.ids(text) for text in TEXTS] == warm, name
        assert warm[::7] == cold, name
        whole = copy.deepcopy(tokenizer).engine
        whole.local = False
        for text, ids in zip(TEXTS, warm, strict=True):
            assert whole.ids(text) == ids, (name, ascii(text))


@KINDS
def test_tokens_and_ids_agree(kind, rich):
    for name, tokenizer in engines(kind, rich).items():
        if tokenizer.is_fast and name in ("flags", "space"):
            continue  # tokens that are looked for in normalized text are told as they stand there: "ab", not "Ab"
        for text in TEXTS:
            expected = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) == expected, (name, ascii(text))


def placed_word_by_word(engine: Any, text: str) -> tuple[list[int], list[tuple[int, int]], list[int], dict[int, str]]:
    """Ids, offsets, words and the texts of added tokens of a whole text, with no use of the lengths of pieces."""
    spans, sizes, added = engine.chunk_shape(text)
    words = [word for word, size in enumerate(sizes) for _ in range(size)]
    return list(engine.chunk_ids(text)), list(spans), words, dict(added)


def assert_places(engine: Any, texts: list[str], name: str = "") -> None:
    """The places of the texts, alone and together, are those found word by word."""
    together = engine.places(texts)
    for text, place in zip(texts, together, strict=True):
        expected = placed_word_by_word(engine, text)
        (alone,) = engine.places([text])
        for got in (place, alone):
            assert (list(got.ids), got.offsets, got.words(), dict(got.added)) == expected, (name, ascii(text))


ODD = [
    "",
    " ",
    "\u0301",
    "\u200b",
    "\u302e a",
    "\u1d165\u0301x",
    "\u00a0a\u3000\u4e00\u4e01b\u2028c ",
    "zzyzx",
    "\u16a0",
    "a\u16a0b c",
]
ODD += [
    "\u0130I\u00df",
    "e\u0301a e\u0301a",
    "\uac00a the",
    "[MASK]",
    "x[MASK]y [UNK]z",
    "the" * 40,
    "\U0001d165\U0001d16d a",
    "\U0010ffff a",
]


def test_the_lengths_of_the_pieces_tell_what_the_words_one_by_one_tell(rich):
    for name, tokenizer in engines(ConvBertTokenizerFast, rich).items():
        assert_places(tokenizer.engine, [*TEXTS, *ODD, *TEXTS[:50]], name)


@given(
    st.lists(
        st.text(st.sampled_from("theaxb \u00e9\u0301\u0316\u4e00\u16a0\u302e\uac00\t\n\x0b\u00a0.#[]MASK"), max_size=30),
        max_size=6,
    )
)
def test_the_lengths_of_the_pieces_tell_what_the_words_tell_for_any_texts(texts):
    for added in ([], ["x-y", AddedToken("MA", normalized=False), AddedToken("##e", special=True)]):
        tokenizer = ConvBertTokenizerFast(VOCABULARY)
        tokenizer.add_tokens(added)
        assert_places(tokenizer.engine, texts)


@pytest.mark.parametrize("prefix", ["##", "#", "@@", "x", "", "th", "\u00a0", "e#"])
def test_places_with_any_prefix(prefix, tmp_path):
    pieces = ["t", "h", "e", "x", "#", "the", "thex", "xe", "hex", "e#", "\u4e00"]
    vocabulary = dict.fromkeys([*SPECIAL, *pieces, *(prefix + piece for piece in pieces), prefix])
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = ConvBertTokenizerFast(tmp_path / "vocab.txt", wordpieces_prefix=prefix)
    texts = ["".join(letters) for size in range(5) for letters in itertools.product("thex# ", repeat=size)]
    assert_places(tokenizer.engine, texts, prefix)


@pytest.mark.parametrize("numbers", [lambda n: n, lambda n: n * 1000, lambda n: n // 2, lambda n: (1 << 62) + n])
def test_places_with_any_ids(numbers):
    """Ids that several tokens share tell no length; nor do those far beyond the number of tokens."""
    model = WordPiece({token: numbers(n) for n, token in enumerate(["?", "the", "##x", "t", "##hex", "x"])}, "?")
    names = {number: token for token, number in model.vocabulary.items()}
    engine = fast_engine_module.FastEngine(Normalization(fast=True), model, {}, {}, names)
    assert_places(engine, ["thex the x", "thex? t", "thexx q x"])


def test_offsets_and_words_lead_from_every_id_to_its_text(rich):
    texts = [text for text in TEXTS if set(KEPT_MARKS).isdisjoint(text)]  # their places are not their own, see above
    for name, tokenizer in engines(ConvBertTokenizerFast, rich).items():
        encodings = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        normalized = tokenizer.engine.normalization.normalized
        for row, text in enumerate(texts):
            tokens, offsets, words = encodings.tokens(row), encodings["offset_mapping"][row], encodings.word_ids(row)
            assert len(offsets) == len(words) == len(tokens) == len(encodings["input_ids"][row])
            assert words == sorted(words) and sorted(set(words)) == list(range(len(set(words)))), (name, ascii(text))
            for token, (start, end) in zip(tokens, offsets, strict=True):
                assert 0 <= start < end <= len(text), (name, ascii(text))
                source = text[start:end]
                assert (
                    token == "[UNK]"
                    or token.removeprefix("##") in (source, *normalized(source).split())
                    or (token.removeprefix("##") in normalized(source))
                ), (name, ascii(text), token, source)


def test_offsets_are_counted_in_characters_of_the_text_as_it_was_given():
    tokenizer = ConvBertTokenizerFast(VOCABULARY)
    encoding = tokenizer("The\u0301 [MASK]\U0001f600 kingx", return_offsets_mapping=True)
    assert encoding["offset_mapping"] == [(0, 0), (0, 3), (5, 11), (11, 12), (13, 17), (17, 18), (0, 0)]
    assert encoding.word_ids() == [None, 0, 1, 2, 3, 3, None]
    assert [encoding.char_to_token(at) for at in (0, 3, 4, 11, 17)] == [1, None, None, 3, 5]
    assert encoding.token_to_chars(4) == (13, 17) and encoding.word_to_tokens(3) == (4, 6) and encoding.char_to_word(17) == 3
    words = tokenizer(["the king", "kingx"], is_split_into_words=True, return_offsets_mapping=True)
    assert words["offset_mapping"][1:-1] == [(0, 3), (4, 8), (0, 4), (4, 5)] and words.word_ids()[1:-1] == [0, 0, 1, 1]


def test_a_token_that_strips_takes_white_space_into_its_offsets():
    tokenizer = ConvBertTokenizerFast(VOCABULARY)
    tokenizer.add_tokens([AddedToken("<m>", lstrip=True, rstrip=True, special=True)])
    encoding = tokenizer("the  <m>  of <m>", return_offsets_mapping=True, add_special_tokens=False)
    assert encoding["offset_mapping"] == [(0, 3), (3, 10), (10, 12), (12, 16)]


@KINDS
@pytest.mark.parametrize("character", DROPPED)
def test_white_space_that_is_a_control_character_is_dropped_and_separates_nothing(kind, character):
    tokenizer = kind(VOCABULARY)
    for text in ("the", "king [MASK] love", "don't"):
        assert tokenizer.tokenize(text.replace("i", f"i{character}")) == tokenizer.tokenize(text)
    assert tokenizer.tokenize(f"the{character}king") == tokenizer.tokenize("theking") != ["the", "king"]
    assert tokenizer.tokenize(f"the{character} king") == ["the", "king"]


@KINDS
def test_full_caches_forget_but_change_no_id(kind, rich, monkeypatch):
    expected = [kind(rich).engine.ids(text) for text in TEXTS]
    places = [(row["offset_mapping"]) for row in map(offsets_of(kind, rich), TEXTS)]
    for name, bound in (("CHUNKS", 3), ("WORDS", 2), ("KNOWN", 1)):
        monkeypatch.setattr(engine_module, name, bound)
    monkeypatch.setattr(fast_engine_module, "SHAPES", 2)
    small = kind(rich)
    for _ in range(2):
        assert [small.engine.ids(text) for text in TEXTS] == expected
    assert [row["offset_mapping"] for row in map(offsets_of(kind, rich), TEXTS)] == places
    assert len(small.engine.chunks) <= 3 and len(small.engine.pieces) <= 2 and len(small.engine.known) <= 2


def offsets_of(kind: Any, path: Path) -> Any:
    """A function that encodes one text with offsets, or with none if the class has none."""
    tokenizer = kind(path)
    if kind is ConvBertTokenizerFast:
        return lambda text: tokenizer(text, return_offsets_mapping=True)
    return lambda text: {"offset_mapping": tokenizer.tokenize(text)}


@KINDS
def test_one_text_of_more_new_chunks_than_the_cache_holds_keeps_its_bound(kind, monkeypatch):
    text = " ".join(f"{first}{second}x" for first in string.ascii_lowercase for second in string.ascii_lowercase)
    expected = kind(VOCABULARY).engine.ids(text)
    monkeypatch.setattr(engine_module, "CHUNKS", 50)
    small = kind(VOCABULARY)
    assert small.engine.ids(text) == expected and len(small.engine.chunks) <= 50


@KINDS
def test_threads_that_share_a_tokenizer_get_right_ids(kind, rich, monkeypatch):
    expected = {text: kind(rich).engine.ids(text) for text in TEXTS}
    for name, bound in (("CHUNKS", 5), ("WORDS", 5), ("KNOWN", 2)):
        monkeypatch.setattr(engine_module, name, bound)
    monkeypatch.setattr(fast_engine_module, "SHAPES", 5)
    shared, wrong, started = kind(rich), [], threading.Barrier(4)
    offsets = dict(zip(TEXTS, map(offsets_of(kind, rich), TEXTS), strict=True))

    def work(seed: int) -> None:
        texts = random.Random(seed).sample(TEXTS, len(TEXTS))
        started.wait()
        try:
            wrong.extend(text for text in texts * 2 if shared.engine.ids(text) != expected[text])
            if kind is ConvBertTokenizerFast:
                rows = shared(texts, return_offsets_mapping=True)["offset_mapping"]
                wrong.extend(text for text, row in zip(texts, rows, strict=True) if row != offsets[text]["offset_mapping"])
        except Exception as error:
            wrong.append(repr(error))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


# ---- added tokens in a text


def test_lower_casing_looks_at_one_character_at_a_time():
    assert lower_case("\u039f\u0394\u039f\u03a3") == "\u03bf\u03b4\u03bf\u03c3" != "\u039f\u0394\u039f\u03a3".lower()
    for text in nasty_texts(50, 20):
        assert lower_case(text) == "".join(map(str.lower, text))
    assert lower_except("AB[X]CD", any_of(["[X]"])) == "ab[X]cd" and lower_except("AB", None) == "ab"


def test_the_longest_of_the_tokens_at_a_place_is_found():
    pattern = any_of(["<s>", "<s>X", "", "."])
    assert cut("a<s>X<s>b.", pattern) == ["a", "<s>X", "<s>", "b", "."] and cut("", pattern) == cut("", None) == []
    assert any_of([""]) is None and cut("a.b", None) == ["a.b"]


def test_flags_act_on_the_neighbours_of_a_token_in_the_slow_class():
    def act(parts: list[str], **flags: bool) -> list[str]:
        return act_on_neighbours(parts, {"<m>": AddedToken("<m>", **flags)})

    assert act(["a ", "<m>", " b"]) == ["a ", "<m>", " b"]
    assert act(["a ", "<m>", " b"], lstrip=True) == ["a", "<m>", " b"]
    assert act(["a ", "<m>", " b"], rstrip=True) == ["a ", "<m>", "b"]
    assert act(["a ", "<m>", " b"], single_word=True) == ["a ", "<m>", " b"]
    assert act(["a", "<m>", " b"], single_word=True) == ["a<m>", " b"]
    assert act(["a ", "<m>", "b"], single_word=True) == ["a ", "<m>b"]


def test_where_the_fast_class_finds_added_tokens():
    def found(text: str, **flags: bool) -> list[tuple[int, int, int | None]]:
        return find(text, any_of(["<m>"]), {"<m>": (9, AddedToken("<m>", **flags))})

    assert found("a <m> b") == [(0, 2, None), (2, 5, 9), (5, 7, None)]
    assert found("a <m> b", lstrip=True) == [(0, 1, None), (1, 5, 9), (5, 7, None)]
    assert found("a <m>\u3000b", rstrip=True) == [(0, 2, None), (2, 6, 9), (6, 7, None)]
    assert found("<m> <m>", lstrip=True, rstrip=True) == [(0, 4, 9), (4, 7, 9)]
    assert found("a<m> <m>", single_word=True) == [(0, 5, None), (5, 8, 9)]
    assert found("<m>_ .<m>.", single_word=True) == [(0, 6, None), (6, 9, 9), (9, 10, None)]
    assert found("") == [] and found("x") == [(0, 1, None)]


@KINDS
def test_special_tokens_are_found_glued_to_words_and_only_in_their_own_case(kind):
    tokenizer = kind(VOCABULARY)
    assert tokenizer.tokenize("the[MASK]king") == ["the", "[MASK]", "king"]
    assert tokenizer.tokenize("[MASK][SEP] [mask]")[:3] == ["[MASK]", "[SEP]", "["]


@KINDS
def test_the_longest_special_token_wins(kind, tmp_path):
    folder = folder_with(tmp_path, "<s>", "<s>X", "x")
    tokenizer = kind.from_pretrained(folder, sep_token="<s>", mask_token="<s>X", do_lower_case=False)
    assert tokenizer.tokenize("<s>X<s>") == ["<s>X", "<s>"]


@KINDS
def test_added_tokens_get_the_next_ids_and_are_found(kind):
    tokenizer = kind(VOCABULARY)
    assert tokenizer.add_tokens(["<new>", "<two>"]) == 2 and len(tokenizer) == 1202 and tokenizer.vocab_size == 1200
    assert tokenizer("the<new><two>", add_special_tokens=False)["input_ids"] == [tokenizer.vocab["the"], 1200, 1201]
    assert tokenizer.get_added_vocab() | {"<new>": 1200, "<two>": 1201} == tokenizer.added_tokens_encoder
    assert tokenizer.add_special_tokens({"mask_token": "<mask>", "additional_special_tokens": ["<a>"]}) == 2
    assert (tokenizer.mask_token_id, tokenizer.additional_special_tokens_ids) == (1202, [1203])
    assert tokenizer.decode([1202, 1200], skip_special_tokens=True) == "<new>"
    assert tokenizer.convert_ids_to_tokens([1200, 1203]) == ["<new>", "<a>"]


# ---- truncation and padding


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 11), st.sampled_from(["right", "left"]))
def test_windows_cover_the_text_overlap_by_the_stride_and_are_full(length, limit, stride, side):
    if stride >= limit and limit < length:
        with pytest.raises(ValueError, match="stride must be smaller than"):
            windows(length, limit, stride, side)
        return
    found = windows(length, limit, stride, side)
    assert {at for start, end in found for at in range(start, end)} == set(range(length))
    ordered = found if side == "right" else found[::-1]
    full = found[:-1]
    assert all(end - start == limit for start, end in full) and 0 < found[-1][1] - found[-1][0] <= limit
    assert all(before[1] - after[0] == stride for before, after in itertools.pairwise(ordered)) if len(found) > 1 else True
    assert found[0] == ((0, min(limit, length)) if side == "right" else (max(length - limit, 0), length))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60))
def test_the_slow_class_takes_ids_off_the_longer_text_one_by_one(first, second, remove):
    lengths = [first, second]
    for _ in range(min(remove, first + second)):
        lengths[0 if lengths[0] > lengths[1] else 1] -= 1
    if remove <= first + second:
        assert [first - shares(first, second, remove)[0], second - shares(first, second, remove)[1]] == lengths
    assert sum(shares(first, second, remove)) == remove


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 60))
def test_the_fast_class_shares_the_room_fairly(first, second, limit):
    kept = fair_lengths(first, second, limit)
    if first + second > limit:
        assert sum(kept) == limit or min(first, second) > limit
        assert all(number <= length for number, length in zip(kept, (first, second), strict=True)) or min(first, second) > limit
        assert abs(kept[0] - kept[1]) <= 1 or min(kept) == min(first, second)


def test_what_each_class_takes_off():
    ids, pair = list(range(10)), list(range(20, 24))
    assert truncate_slow(ids, pair, 3, "longest_first", 0, "right") == (ids[:7], pair, [])
    assert truncate_slow(ids, pair, 8, "longest_first", 0, "left") == (ids[7:], pair[1:], [])
    assert truncate_slow(ids, None, 3, "only_first", 2, "right") == (ids[:7], None, [5, 6, 7, 8, 9])
    assert truncate_slow(ids, None, 3, "longest_first", 2, "left") == (ids[3:], None, [0, 1, 2, 3, 4])
    assert truncate_slow(ids, pair, 3, "only_second", 0, "right") == (ids, pair[:1], [21, 22, 23])
    assert truncate_slow(ids, None, 3, "only_second", 0, "right") == (ids, None, [])
    with pytest.warns(UserWarning, match="cannot take 4 ids off the second text, which has 4: nothing is cut"):
        assert truncate_slow(ids, pair, 4, "only_second", 0, "right") == (ids, pair, [])
    assert truncate_fast([10], 4, "longest_first", 1, "right") == [[(0, 4), (3, 7), (6, 10)]]
    assert truncate_fast([10], 4, "only_first", 0, "left") == [[(6, 10), (2, 6), (0, 2)]]
    assert truncate_fast([10, 4], 9, "only_first", 0, "right") == [[(0, 5), (5, 10)], [(0, 4)]]
    assert truncate_fast([3], 4, "longest_first", 1, "right") == [[(0, 3)]]


def test_padding_fills_every_column_on_its_side():
    row = {"input_ids": [2, 5], "attention_mask": [1, 1], "other": [7]}
    fillers = {"input_ids": 9, "attention_mask": 0}
    assert pad_row(row, "input_ids", 4, "right", fillers) == {
        "input_ids": [2, 5, 9, 9],
        "attention_mask": [1, 1, 0, 0],
        "other": [7],
    }
    assert pad_row(row, "input_ids", 3, "left", fillers)["input_ids"] == [9, 2, 5]
    assert pad_row(row, "input_ids", 1, "left", fillers) is row
    assert [round_up(length, 8) for length in (0, 1, 8, 9)] == [0, 8, 8, 16] and round_up(5, None) == 5


@KINDS
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_is_padded_on_either_side_by_the_call_and_by_pad(kind, side):
    tokenizer = kind(VOCABULARY, padding_side=side)
    batch = tokenizer(["the king", "love"], padding=True, pad_to_multiple_of=3, return_special_tokens_mask=True)
    short = [2, tokenizer.vocab["love"], 3]
    assert batch["input_ids"][1] == (short + [0] * 3 if side == "right" else [0] * 3 + short)
    assert batch["attention_mask"][1] == ([1, 1, 1, 0, 0, 0] if side == "right" else [0, 0, 0, 1, 1, 1])
    assert batch["special_tokens_mask"][1] == ([1, 0, 1, 1, 1, 1] if side == "right" else [1, 1, 1, 1, 0, 1])
    rows = [tokenizer(text, return_special_tokens_mask=True) for text in ("the king", "love")]
    assert tokenizer.pad(rows, pad_to_multiple_of=3) == batch
    arrays = tokenizer.pad(rows, return_tensors="np")
    assert all(value.dtype == np.int64 and value.shape == (2, 4) for value in arrays.values())


@KINDS
def test_model_max_length_serves_where_max_length_is_not_given(kind):
    tokenizer = kind(VOCABULARY, model_max_length=6)
    assert len(tokenizer("the king " * 10, truncation=True).input_ids) == 6
    assert len(tokenizer("the", padding="max_length").input_ids) == 6
    assert len(tokenizer("the king " * 10, truncation=True, max_length=7).input_ids) == 7
    with pytest.warns(UserWarning, match="a row has 22 ids, the model takes model_max_length=6"):
        assert len(tokenizer("the king " * 10).input_ids) == 22
    assert len(tokenizer("the king " * 10, verbose=False).input_ids) == 22
    assert (tokenizer.max_len_single_sentence, tokenizer.max_len_sentences_pair) == (4, 3)


@KINDS
def test_lengths_that_are_missing_or_said_without_truncation_are_warned_of(kind):
    tokenizer = kind(VOCABULARY)
    assert tokenizer.model_max_length == int(1e30)
    with pytest.warns(UserWarning, match="max_length is given without truncation: rows are truncated"):
        assert len(tokenizer("the king " * 5, max_length=5).input_ids) == 5
    with pytest.warns(UserWarning, match="padding needs a max_length"):
        assert len(tokenizer("the king", padding="max_length").input_ids) == 4
    with pytest.warns(UserWarning, match="truncation needs a max_length"):
        assert len(tokenizer("the king", truncation=True).input_ids) == 4
    assert len(tokenizer("the king", truncation=False, padding="max_length", max_length=7).input_ids) == 7


@KINDS
def test_a_warning_points_at_the_line_that_asked_for_it(kind, tmp_path):
    tokenizer = kind(VOCABULARY)
    (tmp_path / "vocab.txt").write_bytes(VOCABULARY.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"mask_token": "<mask>"}')

    def change():
        tokenizer.eos_token = "<end>"

    for call in (
        lambda: kind(VOCABULARY, mask_token="<mask>"),
        lambda: kind.from_pretrained(tmp_path),
        lambda: tokenizer("the king", padding="max_length"),
        lambda: tokenizer.encode("the king", padding="max_length"),
        lambda: tokenizer.truncate_sequences([5], num_tokens_to_remove=2),
        change,
    ):
        with pytest.warns(UserWarning) as caught:
            call()
        assert [Path(one.filename).name for one in caught] == [Path(__file__).name]
        assert caught[0].lineno == call.__code__.co_firstlineno + (call is change)


def test_verbose_false_silences_a_text_that_cannot_be_cut():
    tokenizer = ConvBertTokenizer(VOCABULARY)
    assert len(tokenizer("the king", truncation=True, max_length=2, verbose=False).input_ids) == 4


def test_a_row_can_be_cut_to_its_special_tokens():
    assert ConvBertTokenizerFast(VOCABULARY)("the king", truncation=True, max_length=2).input_ids == [2, 3]
    for kind in BOTH:
        assert kind(VOCABULARY)("the king", "love", truncation=True, max_length=3).input_ids == [2, 3, 3]
    with pytest.warns(UserWarning, match="cannot take 2 ids off the first text"):
        row = ConvBertTokenizer(VOCABULARY)("the king", truncation=True, max_length=2).input_ids
    assert len(row) == 4, "as in the reference's slow class, which cuts no text down to nothing"


def test_overflowing_ids_are_windows_in_the_fast_class_and_a_list_in_the_slow():
    text, arguments = "the king of france is dead", {"truncation": True, "max_length": 5, "return_overflowing_tokens": True}
    fast = ConvBertTokenizerFast(VOCABULARY)([text, "love"], stride=1, return_offsets_mapping=True, **arguments)
    assert fast["overflow_to_sample_mapping"] == [0] * (len(fast["input_ids"]) - 1) + [1]
    assert fast["offset_mapping"][1][1] == fast["offset_mapping"][0][3] and fast["input_ids"][0][3] == fast["input_ids"][1][1]
    slow = ConvBertTokenizer(VOCABULARY)
    row, whole = slow(text, **arguments), slow(text)["input_ids"]
    assert row["input_ids"] == [*whole[:4], 3] and row["overflowing_tokens"] == whole[4:-1]
    assert row["num_truncated_tokens"] == len(whole) - 5


# ---- calls


@KINDS
def test_one_text_gives_lists_and_many_give_lists_of_lists(kind):
    tokenizer = kind(VOCABULARY)
    one, many = tokenizer("the king"), tokenizer(["the king", "love"])
    assert isinstance(one, BatchEncoding) and many.input_ids == [one.input_ids, tokenizer("love").input_ids]
    assert list(one) == ["input_ids", "token_type_ids", "attention_mask"]
    assert tokenizer("the king", return_tensors="np").input_ids.tolist() == [one.input_ids]
    assert tokenizer(("the king",)).input_ids == [one.input_ids] == tokenizer(["the king"]).input_ids
    assert tokenizer([("the", "king")])["input_ids"] == tokenizer(["the"], ["king"])["input_ids"]
    with pytest.raises(AttributeError, match="no 'labels', only input_ids"):
        _ = one.labels
    assert tokenizer("the", text_target="king")["labels"] == tokenizer("king")["input_ids"]


@KINDS
@given(WORDS, WORDS)
def test_the_ways_of_calling_agree(kind, first, second):
    tokenizer = shared_tokenizer(kind)
    pair = tokenizer(first, second, is_split_into_words=True)
    plain = [tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"] for words in (first, second)]
    assert pair["input_ids"] == tokenizer.build_inputs_with_special_tokens(*plain)
    assert pair["token_type_ids"] == tokenizer.create_token_type_ids_from_sequences(*plain)
    text = " ".join(first)
    assert tokenizer.encode(text) == tokenizer.encode_plus(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert tokenizer.batch_encode_plus([text])["input_ids"] == [tokenizer.encode(text)]
    assert tokenizer.encode(text, add_special_tokens=False) == plain[0]


_SHARED: dict[Any, Any] = {}


def shared_tokenizer(kind: Any) -> Any:
    """The same tokenizer at every example."""
    return _SHARED.setdefault(kind, kind(VOCABULARY))


@KINDS
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_any_text_gives_tokens_of_the_vocabulary(kind, text):
    tokenizer = shared_tokenizer(kind)
    tokens = tokenizer.tokenize(text)
    assert set(tokens) <= set(tokenizer.vocab)
    assert tokenizer.convert_ids_to_tokens(tokenizer.convert_tokens_to_ids(tokens)) == tokens


def test_known_words_survive_the_way_there_and_back(tiny):
    words = [token for token in tiny.vocab if token.isalpha() and len(token) > 2]
    for seed in range(50):
        text = " ".join(random.Random(seed).choices(words, k=12))
        assert tiny.decode(tiny(text).input_ids, skip_special_tokens=True) == text
    assert tiny.batch_decode([[], [tiny.vocab["the"]]]) == ["", "the"]


def test_tokens_and_ids_are_converted_one_or_many(tiny):
    assert tiny.convert_tokens_to_ids("[MASK]") == tiny.mask_token_id == 4
    assert tiny.convert_tokens_to_ids(["the", "no such token"]) == [tiny.vocab["the"], tiny.unk_token_id]
    assert tiny.convert_ids_to_tokens(np.int64(4)) == tiny.convert_ids_to_tokens(4) == "[MASK]"
    nothing = "[UNK]" if isinstance(tiny, ConvBertTokenizer) else None
    assert tiny.convert_ids_to_tokens([0, tiny.vocab["the"], 99999], skip_special_tokens=True) == ["the", nothing]
    assert tiny.decode(tiny.vocab["the"]) == "the" and tiny.decode([]) == ""
    assert tiny.convert_tokens_to_string(["the", "##s", "king"]) == "thes king"


def test_attributes_of_the_special_tokens(tiny):
    assert [getattr(tiny, f"{name}_token") for name in NAMES] == SPECIAL
    assert [getattr(tiny, f"{name}_token_id") for name in NAMES] == [0, 1, 2, 3, 4]
    assert sorted(tiny.all_special_ids) == [0, 1, 2, 3, 4] and sorted(tiny.all_special_tokens) == sorted(SPECIAL)
    assert len(tiny) == tiny.vocab_size == len(tiny.get_vocab()) == 1200
    assert tiny.bos_token is None and tiny.bos_token_id is None and "1200 tokens" in repr(tiny)


def test_a_batch_encoding_is_made_by_hand():
    made = ConvBertTokenizerFast(VOCABULARY)("the king", "love")
    again = BatchEncoding(made.data, made[0], "np", True)
    assert again.input_ids.shape == (1, len(made.input_ids)) and again.tokens() == made.tokens() and again.n_sequences == 2
    assert BatchEncoding({"input_ids": [1]}, n_sequences=1).n_sequences == 1 and BatchEncoding().n_sequences is None


def test_an_added_token_whose_id_is_not_the_one_its_file_gives_is_warned_of(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(VOCABULARY.read_bytes())
    (tmp_path / "added_tokens.json").write_text('{"<new>": 1200, "the": 5}')
    with pytest.warns(UserWarning, match="the added token 'the' has the id 156, not the one that its file gives"):
        tokenizer = ConvBertTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(["<new>", "the"]) == [1200, 156]
    with pytest.warns(
        UserWarning, match=r"take the ids of other tokens of the vocabulary, which are hidden: 'the' '.*' \(1 in all\)"
    ):
        assert ConvBertTokenizer.from_pretrained(tmp_path).convert_tokens_to_ids(["<new>", "the"]) == [1200, 5]


@KINDS
def test_a_tokenizer_of_another_class_is_warned_of(kind, tmp_path):
    kind(VOCABULARY).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    for name in ("BertTokenizerFast", "ConvBertTokenizer"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": name}))
        kind.from_pretrained(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "GPT2Tokenizer"}))
    with pytest.warns(UserWarning, match=f"says that it is a GPT2Tokenizer; it is read as a {kind.__name__}"):
        kind.from_pretrained(tmp_path)


@KINDS
def test_a_special_token_can_be_set_by_its_name_and_by_its_id(kind):
    tokenizer = kind(VOCABULARY)
    tokenizer.mask_token, tokenizer.bos_token_id = "the", tokenizer.vocab["king"]
    assert (tokenizer.mask_token_id, tokenizer.bos_token) == (tokenizer.vocab["the"], "king")
    with pytest.warns(UserWarning, match="eos_token '<end>' is not in the vocabulary"):
        tokenizer.eos_token = "<end>"
    tokenizer.pad_token = None
    assert tokenizer.pad_token_id is None and "[PAD]" not in tokenizer.all_special_tokens


@KINDS
def test_a_setting_that_is_changed_later_takes_effect_at_once(kind):
    tokenizer = kind(VOCABULARY)
    assert tokenizer.tokenize("THE") == ["the"]
    tokenizer.do_lower_case = False
    assert tokenizer.tokenize("THE") == kind(VOCABULARY, do_lower_case=False).tokenize("THE") != ["the"]
    tokenizer.padding_side = "left"
    assert tokenizer(["the", "the king"], padding=True)["input_ids"][0][0] == 0


# ---- vocabularies


def test_the_bundled_vocabulary(tiny):
    lines = VOCABULARY.read_bytes().decode("ascii").split("\n")
    assert lines[:5] == SPECIAL and lines[-1] == "" and len(lines) == len(set(lines)) == 1201
    assert "[UNK]" not in tiny.tokenize("".join(chr(code) + "x" + chr(code) for code in range(32, 127)))
    expected = ["the", "capital", "of", "france", "is", "[MASK]", "."]
    assert tiny.tokenize("The capital of France is [MASK].") == expected
    assert tiny.tokenize("Paris, Berlin and Rome") == ["paris", ",", "berlin", "and", "rome"]
    assert {"##s", "##ed", "##ing", "##ly", "##er", "##ness"} <= set(tiny.vocab)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_ends_a_line_and_nothing_else_does(tmp_path, ending):
    path = tmp_path / "vocab.txt"
    tokens = [b"a", b" b ", b"", "c\u2028d\u0085e\x0bf".encode(), b"last"]
    path.write_bytes(ending.join(tokens))
    expected = {"a": 0, " b ": 1, "": 2, "c\u2028d\u0085e\x0bf": 3, "last": 4}
    assert numbered(read_lines(path)) == numbered(read_lines(str(path))) == expected
    path.write_bytes(ending.join(tokens) + ending)
    assert numbered(read_lines(path)) == expected


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(0, 60), min_size=1))
def test_lines_that_are_written_for_a_vocabulary_with_holes_give_its_ids(vocabulary):
    unique = {number: token for token, number in vocabulary.items()}
    vocabulary = {token: number for number, token in unique.items()}
    lines = lines_of(vocabulary)
    assert numbered(lines) == vocabulary and len(lines) == max(vocabulary.values()) + 1


@KINDS
def test_ids_are_line_numbers_and_the_last_of_equal_lines_counts(kind, tmp_path):
    tokenizer = kind.from_pretrained(folder_with(tmp_path, "the", "king", "the", "queen"))
    assert tokenizer.convert_tokens_to_ids(["king", "the", "queen"]) == [6, 7, 8]
    assert len(tokenizer) == tokenizer.vocab_size == 8
    assert tokenizer.convert_ids_to_tokens([5, 7]) == ["[UNK]" if kind is ConvBertTokenizer else None, "the"]


@KINDS
def test_a_special_token_of_another_name_is_added_with_a_warning(kind):
    with pytest.warns(UserWarning, match="the vocabulary lacks mask_token '<mask>': added behind its end"):
        tokenizer = kind(VOCABULARY, mask_token="<mask>")
    assert tokenizer.mask_token_id == 1200 and tokenizer.tokenize("the<mask>") == ["the", "<mask>"]


# ---- folders


@KINDS
def test_settings_come_from_tokenizer_config(kind, tmp_path):
    config = {
        "do_lower_case": False,
        "strip_accents": True,
        "tokenize_chinese_chars": False,
        "mask_token": {"content": "<mask>", "lstrip": True, "special": True, "single_word": False},
        "pad_token": "<pad>",
        "model_max_length": 512,
        "tokenizer_class": "ConvBertTokenizer",
        "never_split": None,
        "do_basic_tokenize": True,
    }
    folder = folder_with(tmp_path, "<mask>", "<pad>", "Te", "te", "\u4e00\u4e01", tokenizer_config=config)
    tokenizer = kind.from_pretrained(folder)
    assert tokenizer.tokenize("T\u00e9<mask>\u4e00\u4e01") == ["Te", "<mask>", "\u4e00\u4e01"]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.model_max_length) == (6, 5, 512)
    assert kind.from_pretrained(folder, do_lower_case=True).tokenize("TE") == ["te"]


@KINDS
def test_special_tokens_map_goes_before_the_config_unless_that_lists_added_tokens(kind, tmp_path):
    files: dict = {"special_tokens_map": {"mask_token": "<m>"}, "tokenizer_config": {"mask_token": "[MASK]"}}
    folder = folder_with(tmp_path, "<m>", **files)
    assert kind.from_pretrained(folder).mask_token == "<m>"
    files["tokenizer_config"]["added_tokens_decoder"] = {"4": {"content": "[MASK]"}}
    assert kind.from_pretrained(folder_with(folder, "<m>", **files)).mask_token == "[MASK]"


@KINDS
@pytest.mark.parametrize("limit", [int(1e30), 1e30, None])
def test_no_limit_is_written_as_a_huge_number(kind, tmp_path, limit):
    folder = folder_with(tmp_path, tokenizer_config={"model_max_length": limit, "strip_accents": None})
    assert kind.from_pretrained(folder).model_max_length == int(1e30)


@KINDS
@pytest.mark.parametrize(
    "files",
    [
        {"added_tokens": {"<new>": 6}},
        {"tokenizer_config": {"added_tokens_decoder": {"6": {"content": "<new>"}}}},
        {"tokenizer_config": {"additional_special_tokens": ["<new>"]}},
        {"special_tokens_map": {"additional_special_tokens": [{"content": "<new>"}]}},
        {"special_tokens_map": {"bos_token": "<new>"}},
    ],
)
def test_added_tokens_are_read_from_every_file_that_may_hold_them(kind, tmp_path, files):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the vocabulary lacks bos_token")
        tokenizer = kind.from_pretrained(folder_with(tmp_path, "the", **files))
    assert tokenizer.tokenize("the<new>the") == ["the", "<new>", "the"] and tokenizer.convert_tokens_to_ids("<new>") == 6


@KINDS
def test_a_saved_tokenizer_is_the_same(kind, tmp_path):
    source = tmp_path / "vocab.txt"
    source.write_bytes(b"[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nthe\r\nThe\r\nthe\r\n")
    tokenizer = kind(source, do_lower_case=False, strip_accents=True, model_max_length=70, padding_side="left")
    tokenizer.add_tokens([AddedToken("<n>", lstrip=True), "x"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<s>"]})
    written = tokenizer.save_pretrained(tmp_path / "saved")
    assert all(Path(path).is_file() for path in written)
    again = kind.from_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "vocab.txt").read_bytes() == source.read_bytes().replace(b"\r", b"")
    assert (again.vocab, again.added_tokens_decoder) == (tokenizer.vocab, tokenizer.added_tokens_decoder)
    assert (again.model_max_length, again.strip_accents, again.do_lower_case, again.padding_side) == (70, True, False, "left")
    text = "The the [MASK] <n>x<s>"
    assert again(text) == tokenizer(text) and again.special_tokens_map == tokenizer.special_tokens_map
    assert tokenizer.save_vocabulary(tmp_path, "copy") == (str(tmp_path / "copy-vocab.txt"),)
    assert read_lines(tmp_path / "copy-vocab.txt") == read_lines(source)


# ---- copies


@KINDS
def test_a_copied_or_pickled_tokenizer_is_the_same_and_independent(kind):
    tokenizer = kind(VOCABULARY, do_lower_case=False)
    tokenizer.add_tokens([AddedToken("<new>", rstrip=True)])
    expected = tokenizer("the <new> King")
    for again in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert type(again) is kind and again("the <new> King") == expected and again.get_vocab() == tokenizer.get_vocab()
        again.add_tokens(["<other>"])
        assert "<other>" not in tokenizer.get_vocab()
    assert len(pickle.dumps(tokenizer)) < 200_000, "caches are not pickled"


@KINDS
def test_a_copied_or_pickled_encoding_still_leads_to_the_text(kind):
    tokenizer = kind(VOCABULARY)
    batch = tokenizer(["the king's", "love"], ["of", "x"], padding=True)
    for again in (copy.deepcopy(batch), copy.copy(batch), batch.copy(), pickle.loads(pickle.dumps(batch))):
        assert type(again) is BatchEncoding and again == batch and again.is_fast is tokenizer.is_fast
        if tokenizer.is_fast:
            assert [again.tokens(row) for row in (0, 1)] == [batch.tokens(row) for row in (0, 1)]
            assert [again[row].offsets for row in (0, 1)] == [batch[row].offsets for row in (0, 1)]
            assert again.word_ids(1) == batch.word_ids(1) and again.char_to_token(0, 0, 1) == batch.char_to_token(0, 0, 1)
            assert again.n_sequences == 2
    assert len(pickle.dumps(batch)) < 3_000, "the vocabulary is not pickled with an encoding"


def test_the_page_on_the_tokenizer_shows_what_happens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "tokenizer.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    test = doctest.DocTestParser().get_doctest(page, names, "tokenizer.md", None, 0)
    assert len(test.examples) > 10 and doctest.DocTestRunner().run(test).failed == 0
