"""tokenizer.json against the tokenizers library: the same text, and no file that only one of the two reads."""

import itertools
import json
import random

import pytest
from test_tokenizer_json import CHANGES, FILE, TOKENS, added, changed, damaged_value, read, text_of

from convbert_np.data import TINY
from convbert_np.tokenization.added_tokens import FLAGS, AddedToken
from convbert_np.tokenization.tokenizer_json import TokenizerFile, read_tokenizer_json, tokenizer_json

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def tokenizers():
    return pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def transformers():
    """transformers 4: later versions make these tokenizers in another way."""
    module = pytest.importorskip("transformers")
    return module if module.__version__.startswith("4.") else pytest.skip("not transformers 4")


def rewritten(tokenizers, text: str) -> str:
    """The file that the library writes after reading this text."""
    return tokenizers.Tokenizer.from_str(text).to_str(pretty=True)


@pytest.mark.parametrize(("path", "value"), [("version", "1.0"), *CHANGES])
def test_the_text_is_the_library_s(tokenizers, tmp_path, path, value):
    file = changed(path, value)
    if path == "model/vocab/the":  # the library numbers what is not in the vocabulary anew
        file["added_tokens"] = file["added_tokens"][:5]
    assert rewritten(tokenizers, json.dumps(file)) == tokenizer_json(read(tmp_path, file)) == text_of(file)


def test_every_character_is_escaped_alike(tokenizers, tmp_path):
    characters = [chr(c) for c in (*range(0x2100), 0xD7FF, 0xE000, 0xFFFE, 0xFFFF, 0x10000, 0x1F600, 0x10FFFF)]
    vocabulary = {token: number for number, token in enumerate([*TOKENS[:5], *(f"x{c}" for c in characters)])}
    ours = tokenizer_json(TokenizerFile(vocabulary, ("[CLS]", 2), ("[SEP]", 3)))
    assert rewritten(tokenizers, ours) == ours


def test_a_damaged_vocabulary_keeps_its_ids(tokenizers, tmp_path):
    """One with holes, as the released vocabulary has: here every third line repeats a later one."""
    lines = [f"w{number + 1 if number % 3 == 2 else number}" for number in range(3000)]
    vocabulary = {token: number for number, token in enumerate([*TOKENS[:5], *lines])}
    special = {number: AddedToken(token, special=True) for number, token in enumerate(TOKENS[:5])}
    ours = tokenizer_json(TokenizerFile(vocabulary, ("[CLS]", 2), ("[SEP]", 3), added_tokens=special))
    assert rewritten(tokenizers, ours) == ours and len(vocabulary) < max(vocabulary.values()) + 1
    (tmp_path / "tokenizer.json").write_text(ours, encoding="utf-8")
    assert read_tokenizer_json(tmp_path / "tokenizer.json").vocabulary == vocabulary
    new = added(len(vocabulary), "new", special=False)
    file = json.loads(ours) | {"added_tokens": [new]}
    assert rewritten(tokenizers, json.dumps(file)) == tokenizer_json(read(tmp_path, file))


def test_no_damaged_file_is_read_that_the_library_would_refuse_or_read_otherwise(tokenizers, tmp_path):
    draw = random.Random(11)
    compared = 0
    for _ in range(3000):
        value = damaged_value(draw)
        try:
            ours = read(tmp_path, value)
        except ValueError:
            continue
        holes = len(ours.vocabulary) <= max(ours.vocabulary.values())
        if holes and any(token.content not in ours.vocabulary for token in ours.added_tokens.values()):
            continue  # the library may number them anew, by the size of the vocabulary
        theirs = read(tmp_path, rewritten(tokenizers, json.dumps(value)).encode())
        assert tokenizer_json(ours) == tokenizer_json(theirs), value
        compared += value != FILE
    assert compared > 100


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("accents", [None, True, False])
@pytest.mark.parametrize("chinese", [True, False])
def test_a_tokenizer_of_transformers_is_read_and_written(transformers, tmp_path, lower, accents, chinese):
    settings = {"do_lower_case": lower, "strip_accents": accents, "tokenize_chinese_chars": chinese}
    tokenizer = transformers.ConvBertTokenizerFast(
        str(TINY / "vocab.txt"),
        mask_token=transformers.AddedToken("[MASK]", lstrip=True),
        additional_special_tokens=["<x>"],
        cls_token="<cls>",
        **settings,
    )
    tokenizer.add_tokens(["New", "the", transformers.AddedToken("Zed", single_word=True, normalized=False)])
    tokenizer.save_pretrained(tmp_path)
    file = read_tokenizer_json(tmp_path / "tokenizer.json")
    assert tokenizer_json(file) == (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    assert (file.lowercase, file.strip_accents, file.handle_chinese_chars) == (lower, accents, chinese)
    tokens = {number: token.__getstate__() for number, token in tokenizer.added_tokens_decoder.items()}
    assert {number: token.to_dict() for number, token in file.added_tokens.items()} == tokens
    assert file.cls == ("<cls>", tokenizer.cls_token_id) and file.added_tokens[tokenizer.cls_token_id].special


def test_added_tokens_have_the_same_flags(tokenizers):
    for flags in itertools.product((None, True, False), repeat=len(FLAGS)):
        given = {name: flag for name, flag in zip(FLAGS, flags, strict=True) if flag is not None}
        theirs = tokenizers.AddedToken("a", **given)
        assert AddedToken("a", **given).to_dict() == theirs.__getstate__() and str(theirs) == "a"
        assert (AddedToken("a", **given) == AddedToken("a")) == (theirs == tokenizers.AddedToken("a"))
