"""Text to ids, and ids to text, of both tokenizers against transformers 4.37.2: every code point and random strings.

The vocabularies are that of bert-base-uncased, a cased one made from it, and single characters, so that no
difference hides behind [UNK]. By default each code point is compared in three contexts with two sets of
options, and those that are no mere repetition of their neighbour with every set and every vocabulary.
CONVBERT_NP_FULL=1 compares all of them with everything (about 45 minutes on one core for the reference alone).
"""

import os
from pathlib import Path

import pytest
import tokenizer_cases as cases
from tokenizer_compare import Differences, Sides, Tokenizers, obey, outcome, plain, sides_of, write_vocabulary

pytestmark = pytest.mark.parity
FULL = os.environ.get("CONVBERT_NP_FULL", "") not in ("", "0")
PARTS = 68  # of 16,384 code points each
EVERYWHERE = [{"do_lower_case": lower, "strip_accents": None, "tokenize_chinese_chars": True} for lower in (True, False)]
SEEDS, PER_SEED = 24, 8500  # 204,000 random strings for each class
GLUED = 128  # code points in one text
VOCABULARIES = ("characters", "uncased", "cased")


# ---- every code point


def compare_code_points(differences, pair, characters, label) -> None:
    """Compare ids (and offsets) of each character in three contexts; many at once, one at a time where they differ."""
    texts = [cases.in_contexts(character) for character in characters]
    glued = [" ".join(texts[start : start + GLUED]) for start in range(0, len(texts), GLUED)]
    for index, (ours, theirs) in enumerate(zip(ids_of(pair[0], glued), ids_of(pair[1], glued), strict=True)):
        block = texts[index * GLUED : (index + 1) * GLUED]
        if ours == theirs:
            differences.cases += len(block)
            continue
        found = differences.differing
        for text in block if found < differences.shown else ():
            differences.check(f"{label} {text}", *(outcome(tokens_and_ids, one, text) for one in pair))
        if found == differences.differing:
            differences.check(f"{label} glued {glued[index]}", ours, theirs)


def tokens_and_ids(tokenizer, text) -> tuple:
    """The tokens of a text, and its ids and offsets."""
    return tokenizer.tokenize(text), ids_of(tokenizer, [text])


def ids_of(tokenizer, texts) -> list:
    """The ids of each text and, from the fast class, the offsets."""
    answer = tokenizer(texts, return_offsets_mapping=tokenizer.is_fast, return_attention_mask=False, return_token_type_ids=False)
    offsets = answer["offset_mapping"] if tokenizer.is_fast else [None] * len(texts)
    return list(zip(answer["input_ids"], offsets, strict=True))


@pytest.mark.parametrize("part", range(PARTS))
def test_every_code_point(sides, tokenizers, tmp_path, part):
    differences = Differences(sides.kind)
    characters = cases.code_points(part, PARTS)
    telling = [character for character in characters if cases.is_telling(character)]
    path = write_vocabulary(tmp_path, cases.character_tokens("".join(["ab\u0301", *characters])))
    for options in cases.normalisations(sides.kind):
        pair = sides.ours(path, **options), sides.theirs(path, **options)
        for tokenizer in pair:
            obey(tokenizer, options)
        compare_code_points(differences, pair, characters if FULL or options in EVERYWHERE else telling, f"{options}")
        for name in VOCABULARIES[1:]:
            compare_code_points(
                differences, tokenizers.get(name, **options), characters if FULL else telling, f"{name} {options}"
            )
    differences.assert_none()


# ---- random strings


def settings_of(sides: Sides, seed: int) -> tuple[str, dict]:
    """The vocabulary and the options of a seed; all combinations take their turn."""
    combinations = cases.normalisations(sides.kind)
    return VOCABULARIES[seed % 3], combinations[seed * 7 % len(combinations)] if seed >= 6 else {}


def check_rows(differences, label, texts, ours, theirs) -> None:
    """Compare two results row by row, at once where all are equal."""
    if ours == theirs:
        differences.cases += len(texts)
        return
    assert len(ours) == len(theirs) == len(texts)
    for text, first, second in zip(texts, ours, theirs, strict=True):
        differences.check(f"{label} {text!r}", first, second)


def slow_views(tokenizer, texts) -> dict[str, list]:
    """What the slow class makes of texts: tokens, and the inputs of single texts and of pairs."""
    half = len(texts) // 2
    tokens = [tokenizer.tokenize(text) for text in texts]
    return {
        "tokens": tokens,
        "ids": [tokenizer.convert_tokens_to_ids(row) for row in tokens],
        "single": rows_of(tokenizer(texts[:half], return_special_tokens_mask=True)),
        "pairs": rows_of(tokenizer(texts[half:], texts[half:][::-1], truncation="longest_first", max_length=40)),
    }


def fast_views(tokenizer, texts) -> dict[str, list]:
    """What the fast class makes of texts: for single texts and pairs the inputs, tokens, word and sequence ids."""
    half = len(texts) // 2
    flags = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    single = tokenizer(texts[:half], **flags)
    pairs = tokenizer(texts[half:], texts[half:][::-1], truncation="longest_first", max_length=40, **flags)
    views = {"tokens": [single.tokens(index) for index in range(half)]}
    for name, answer in (("single", single), ("pairs", pairs)):
        views[name] = rows_of(answer)
        views[f"{name}: words"] = [answer.word_ids(index) for index in range(len(views[name]))]
        views[f"{name}: sequences"] = [answer.sequence_ids(index) for index in range(len(views[name]))]
    return views


def rows_of(encoding) -> list:
    """The entries of each text."""
    return [list(row) for row in zip(*encoding.values(), strict=True)]


def compare_texts(differences, pair, texts, label) -> None:
    """Compare everything that the classes make of texts."""
    view = slow_views if differences.kind == "slow" else fast_views
    ours, theirs = (view(one, texts) for one in pair)
    half = len(texts) // 2
    for name, rows in theirs.items():
        chosen = {"s": texts[:half], "p": texts[half:]}.get(name[0], texts[: len(rows)])
        check_rows(differences, f"{label} {name}", chosen, ours[name], rows)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_strings(sides, tokenizers, seed):
    name, options = settings_of(sides, seed)
    differences = Differences(sides.kind)
    pair = tokenizers.get(name, **options)
    compare_texts(differences, pair, cases.random_texts(seed, PER_SEED), f"{name} {options}")
    differences.assert_none()


# ---- back to text


def compare_decoding(differences, pair, rows, label) -> None:
    """Compare the decoded text of rows of ids with every combination of flags."""
    flags = [
        {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
        for skip in (False, True)
        for clean in (None, False, True)
    ]
    for flag in flags + [{**flag, "spaces_between_special_tokens": False} for flag in flags[1::2]]:
        ours, theirs = ([outcome(one.decode, ids, **flag) for ids in rows] for one in pair)
        check_rows(differences, f"{label} {flag}", rows, ours, theirs)
    ours, theirs = (plain(one.batch_decode(rows, skip_special_tokens=True)) for one in pair)
    check_rows(differences, f"{label} batch_decode", rows, ours, theirs)


@pytest.mark.parametrize("seed", range(6))
def test_decoding(sides, tokenizers, seed):
    name = VOCABULARIES[seed % 3]
    pair = tokenizers.get(name)
    differences = Differences(sides.kind)
    encoded = pair[1](cases.random_texts(f"decode {seed}", 700))["input_ids"]
    compare_decoding(differences, pair, encoded + cases.random_ids(seed, 800, len(cases.vocabulary_tokens(name))), name)
    differences.assert_none()


# ---- the vocabulary released with ConvBERT


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("damaged") / "vocab.txt"
    path.write_bytes(cases.damaged_bytes(cases.uncased_tokens()))
    return path


def test_the_damaged_vocabulary_is_made_as_it_was_released(damaged):
    if cases.real_vocabulary() is None:
        pytest.skip(f"the package {cases.PACKAGE} with the vocabulary of bert-base-uncased is not installed")
    lines = damaged.read_bytes().decode().split("\r\n")
    assert damaged.stat().st_size == 266_699, "the size of the released file"
    assert lines.pop() == "" and len(lines) == 30_522 and len(set(lines)) == 29_514


@pytest.mark.parametrize("options", [{}, {"do_lower_case": False}])
def test_the_damaged_vocabulary_gives_the_reference_s_ids(sides, damaged, tmp_path, options):
    pair = sides.ours(damaged, **options), sides.theirs(damaged, **options)
    differences = Differences(sides.kind)
    for name in ("__len__", "get_vocab", "get_added_vocab"):
        differences.ask(name, pair, name)
    differences.look("vocab_size", pair, "vocab_size")
    ids = range(-1, 30_600) if sides.kind == "slow" else range(30_600)
    differences.ask("ids to tokens", pair, "convert_ids_to_tokens", list(ids))
    lines = damaged.read_bytes().decode().split("\r\n")
    texts = [*lines, *cases.random_texts("damaged", 2000)]
    compare_texts(differences, pair, texts, f"damaged {options}")
    compare_decoding(differences, pair, cases.random_ids("damaged", 500, 30_522), "damaged")
    differences.assert_none()


def test_the_damaged_vocabulary_survives_saving_unlike_in_the_reference(sides, damaged, tmp_path):
    theirs = sides.theirs(damaged)
    ours = sides.ours(damaged)
    ours.save_pretrained(tmp_path / "saved")
    again = sides.ours.from_pretrained(tmp_path / "saved")
    texts = ["the king", "\u00e9t\u00e9 \u6771", *cases.random_texts("survives", 500)]
    if os.environ.get("CONVBERT_NP_SIDES", "") == "":
        assert again(texts)["input_ids"] == theirs(texts)["input_ids"] and again.get_vocab() == theirs.get_vocab()
    theirs.save_pretrained(tmp_path / "theirs")
    vocabulary = (tmp_path / "theirs" / "vocab.txt").read_bytes().split(b"\n")
    assert vocabulary.index(b"the") < 1996 or cases.real_vocabulary() is None, "the reference drops equal lines: ids shift"


# ---- the comparison itself


def test_the_comparison_sees_that_slow_and_fast_differ(tmp_path):
    crossed = sides_of("slow", "crossed")
    made = Tokenizers(crossed, tmp_path)
    pair = made.get("uncased")
    for compare, data in (
        (compare_code_points, ["a", "\U0002b820"]),
        (compare_texts, ["the", "x\U0002b820y", "\u0378 the", "a"]),
        (compare_decoding, [[1005, 1056], [101, 7592, 1010, 2088, 102]]),
    ):
        differences = Differences("slow")
        compare(differences, pair, data, "crossed")
        with pytest.raises(AssertionError, match="cases differ"):
            differences.assert_none()
