"""Both tokenizers against the recorded answers of transformers 4.37.2 (tests/golden/make_tokenizer.py)."""

import builtins
import hashlib
import json
import sys
import unicodedata
from pathlib import Path

import pytest

from convbert_np import AddedToken, ConvBertTokenizer, ConvBertTokenizerFast

sys.path.append(str(Path(__file__).parent / "tools"))

from tokenizer_cases import TINY, Call, Token
from tokenizer_compare import Differences, made, outcome, write_vocabulary

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tokenizer.json").read_text(encoding="utf-8"))
CLASSES = {"slow": ConvBertTokenizer, "fast": ConvBertTokenizerFast}
TEXTS = {"slow": GOLDEN["texts"], "fast": GOLDEN["texts"] + GOLDEN["new"]}
KINDS = pytest.mark.parametrize("kind", ["slow", "fast"])


@pytest.fixture(scope="module")
def characters(tmp_path_factory) -> Path:
    """The vocabulary of single characters for which the golden tokens were recorded."""
    tokens = [*GOLDEN["special"], *GOLDEN["characters"], *("##" + c for c in GOLDEN["characters"])]
    return write_vocabulary(tmp_path_factory.mktemp("characters"), tokens)


def filled(answers: list, others: list) -> list:
    """The answers, with those that are null taken from the others."""
    return [other if answer is None else answer for answer, other in zip(answers, others, strict=True)]


def recorded_tokens(kind: str, mode: str) -> list[str]:
    """The tokens of every text, each as one string."""
    tokens = GOLDEN["tokens"][kind]
    if kind == "slow":
        return filled(tokens[mode], GOLDEN["tokens"]["slow"]["default"])
    if mode in GOLDEN["tokens"]["slow"]:
        return filled(tokens[mode], recorded_tokens("slow", mode) + [None] * len(GOLDEN["new"]))
    return filled(tokens[mode], recorded_tokens("fast", "default"))


def tokens_of(tokenizer, text: str) -> str:
    """The tokens of a text as one string."""
    return " ".join(tokenizer.tokenize(text))


def token_of(value):
    """A token as it was recorded: its text, or its text and flags."""
    return Token(*value) if isinstance(value, list) else value


def test_the_golden_was_recorded_for_the_bundled_vocabulary():
    recorded_for = "tests/golden/tokenizer.json was recorded for another vocabulary: run make_tokenizer.py"
    assert hashlib.sha256(TINY.read_bytes()).hexdigest() == GOLDEN["bundled_sha256"], recorded_for


def test_what_the_slow_class_is_asked_holds_no_unassigned_character_that_a_newer_python_may_know():
    unassigned = {c for text in GOLDEN["texts"] for c in text if unicodedata.category(c) == "Cn"}
    assert unassigned == {"\ufdd0", "\uffff", "\U0010ffff"}, "only those that will never be assigned"


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind in CLASSES for mode in GOLDEN["modes"][kind]])
def test_tokens(characters, kind, mode):
    tokenizer = CLASSES[kind](characters, **GOLDEN["modes"][kind][mode])
    differences = Differences(kind)
    for text, expected in zip(TEXTS[kind], recorded_tokens(kind, mode), strict=True):
        differences.check((mode, text), outcome(tokens_of, tokenizer, text), expected)
    differences.assert_none()


@KINDS
def test_ids_with_the_bundled_vocabulary(kind):
    tokenizer = CLASSES[kind](TINY)
    expected = filled(GOLDEN["ids"][kind], GOLDEN["ids"]["slow"])
    differences = Differences(kind)
    for text, row, ids in zip(GOLDEN["texts"], tokenizer(GOLDEN["texts"])["input_ids"], expected, strict=True):
        differences.check(text, row, ids)
        differences.check(text, outcome(tokenizer.encode, text), ids)
    differences.assert_none()


def test_offsets_and_word_ids(characters):
    tokenizer = ConvBertTokenizerFast(characters)
    differences = Differences("fast")
    encoding = tokenizer(TEXTS["fast"], return_offsets_mapping=True, add_special_tokens=False)
    for index, (text, (flat, words)) in enumerate(zip(TEXTS["fast"], GOLDEN["positions"], strict=True)):
        offsets = list(zip(flat[::2], flat[1::2], strict=True))
        differences.check(text, [encoding["offset_mapping"][index], encoding.word_ids(index)], [offsets, words])
    differences.assert_none()


def as_read(value):
    """An outcome as it is read back from JSON; an exception stays as it is."""
    return value if isinstance(value, BaseException) else json.loads(json.dumps(value))


def recorded_outcome(value):
    """A recorded outcome: the answer, or an exception of the type that was raised."""
    if isinstance(value, dict) and set(value) == {"raises"}:
        return getattr(builtins, value["raises"], Exception)("recorded")
    return value


def as_given(arguments: dict) -> dict:
    """The arguments of a call, in which pairs of a batch were tuples before they were recorded."""
    text = arguments["text"]
    split = arguments["is_split_into_words"]
    batched = isinstance(text, list) and text and isinstance(text[0], list)
    if batched and "text_pair" not in arguments and (not split or (text[0] and isinstance(text[0][0], list))):
        return arguments | {"text": [tuple(row) for row in text]}
    return arguments


@KINDS
def test_calls(kind):
    tokenizer = CLASSES[kind](TINY)
    differences = Differences(kind)
    for attributes, arguments, answer in GOLDEN["calls"][kind]:
        for name, value in attributes.items():
            setattr(tokenizer, name, value)
        call = Call(attributes, as_given(arguments))
        differences.check(call, as_read(outcome(tokenizer, **call.arguments)), recorded_outcome(answer))
    differences.assert_none()


@KINDS
def test_decoding(kind):
    tokenizer = CLASSES[kind](TINY)
    differences = Differences(kind)
    for ids, skip, clean, slow, fast in GOLDEN["decodings"]:
        flags = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
        expected = slow if kind == "slow" or fast is None else fast
        differences.check((ids, flags), outcome(tokenizer.decode, ids, **flags), expected)
    differences.assert_none()


def changed(kind, settings, additions):
    """A tokenizer with these settings and additions, of which each names a method or an attribute."""
    settings = {name: addition_of(name, value) if "token" in name else value for name, value in settings.items()}
    tokenizer = CLASSES[kind](TINY, **made(settings, AddedToken))
    for name, value in additions:
        value = made(addition_of(name, value), AddedToken)
        _ = getattr(tokenizer, name)(*value) if name.startswith("add_") else setattr(tokenizer, name, value)
    return tokenizer


def addition_of(name: str, value):
    """What a recorded addition passes to the method, or sets the attribute to."""
    if name == "add_tokens":
        return [token_of(token) for token in value[0]], value[1]
    if name == "add_special_tokens":
        ((slot, tokens),) = value[0].items()
        return {slot: [token_of(token) for token in tokens] if slot.startswith("add") else token_of(tokens)}, value[1]
    return [token_of(token) for token in value] if name.startswith("add") else token_of(value)


@KINDS
def test_added_tokens(kind):
    differences = Differences(kind)
    for settings, additions, texts, slow, fast in GOLDEN["additions"]:
        expected = slow if kind == "slow" or fast is None else fast
        case = (settings, additions, texts)
        differences.check(case, outcome(tokens_of_added, kind, *case), expected)
    differences.assert_none()


def tokens_of_added(kind, settings, additions, texts) -> list[list[str]]:
    """The tokens of texts after additions."""
    tokenizer = changed(kind, settings, additions)
    return [tokenizer.tokenize(text) for text in texts]
