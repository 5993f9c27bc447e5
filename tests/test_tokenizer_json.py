"""tokenizer.json and AddedToken: what is read and written, what is refused, and a reader that survives damaged files."""

import copy
import json
import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.tokenizer_json import TokenizerFile, read_tokenizer_json, tokenizer_json

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "é", "##a", "\u2028", '"\\', "\x7f\t\x1f", "𝒳", "the"]


def added(number: int, content: str, **flags: bool) -> dict[str, Any]:
    """An entry of added_tokens: a special token unless the flags say otherwise."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": content, **plain, **flags}


def piece(kind: str, name: str, type_id: int) -> dict[str, Any]:
    return {kind: {"id": name, "type_id": type_id}}


SINGLE = [piece("SpecialToken", "[CLS]", 0), piece("Sequence", "A", 0), piece("SpecialToken", "[SEP]", 0)]
FILE: dict[str, Any] = {  # in the order of the library, which writes the same text: see the parity suite
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
        *(added(number, token) for number, token in enumerate(TOKENS[:5])),
        added(5, "a", special=False, normalized=True, single_word=True),
        added(13, "New", special=False, normalized=True, rstrip=True),
        added(14, "<x>", lstrip=True),
    ],
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": False,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": SINGLE,
        "pair": [*SINGLE, piece("Sequence", "B", 1), piece("SpecialToken", "[SEP]", 1)],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
        },
    },
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {token: number for number, token in enumerate(TOKENS)},
    },
}
BERT_PROCESSING = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
TRUNCATION = {"direction": "Left", "max_length": 12, "strategy": "OnlyFirst", "stride": 3}
PADDING = {
    "strategy": {"Fixed": 128},
    "direction": "Left",
    "pad_to_multiple_of": 8,
    "pad_id": 0,
    "pad_type_id": 1,
    "pad_token": "[PAD]",
}
MISSING = object()


def changed(path: str, value: object) -> dict[str, Any]:
    """FILE with the entry at a path like model/vocab/a set to a value, or taken out if it is MISSING."""
    file = copy.deepcopy(FILE)
    *parents, last = path.split("/")
    place: Any = file
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if value is MISSING:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return file


def read(folder: Path, content: object) -> TokenizerFile:
    """What is read from a file with these bytes, or with this value as JSON."""
    path = folder / "tokenizer.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_tokenizer_json(path)


def text_of(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


# ---- what is read and written


def test_every_entry_is_read(tmp_path):
    file = read(tmp_path, FILE)
    assert file.vocabulary == {token: number for number, token in enumerate(TOKENS)}
    assert (file.cls, file.sep, file.unk_token) == (("[CLS]", 2), ("[SEP]", 3), "[UNK]")
    assert (file.continuing_subword_prefix, file.max_input_chars_per_word, file.cleanup) == ("##", 100, True)
    assert (file.clean_text, file.handle_chinese_chars, file.strip_accents, file.lowercase) == (True, False, None, True)
    assert list(file.added_tokens) == [0, 1, 2, 3, 4, 5, 13, 14]
    assert file.added_tokens[4] == AddedToken("[MASK]", special=True)
    assert file.added_tokens[5] == AddedToken("a", single_word=True)
    assert file.added_tokens[13] == AddedToken("New", rstrip=True)
    assert file.added_tokens[14] == AddedToken("<x>", lstrip=True, special=True)
    assert file.truncation is None and file.padding is None


CHANGES = [
    ("normalizer/clean_text", False),
    ("normalizer/handle_chinese_chars", True),
    ("normalizer/strip_accents", False),
    ("normalizer/strip_accents", True),
    ("normalizer/lowercase", False),
    ("decoder/cleanup", False),
    ("model/max_input_chars_per_word", 0),
    ("model/max_input_chars_per_word", 2**64 - 1),
    ("model/unk_token", "a"),
    ("truncation", TRUNCATION),
    ("padding", PADDING),
    ("padding", {**PADDING, "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None}),
    ("added_tokens", []),
    ("model/vocab/the", 70_000),
]


def test_a_file_is_written_as_it_was_read(tmp_path):
    assert tokenizer_json(read(tmp_path, FILE)) == text_of(FILE)


@pytest.mark.parametrize(("path", "value"), CHANGES)
def test_a_changed_entry_is_read_and_written(tmp_path, path, value):
    file = changed(path, value)
    if path == "model/vocab/the":  # what was added stays between the size of the vocabulary and its largest id
        file["added_tokens"] = file["added_tokens"][:5]
    assert tokenizer_json(read(tmp_path, file)) == text_of(file) != text_of(FILE)


def test_another_prefix_and_other_markers_are_read_and_written(tmp_path):
    text = text_of(FILE).replace("##", "@@").replace("[SEP]", "<a>")
    file = json.loads(text)
    tokens = file["post_processor"]["special_tokens"]
    file["post_processor"]["special_tokens"] = {"<a>": tokens["<a>"], "[CLS]": tokens["[CLS]"]}  # the library sorts them
    read_file = read(tmp_path, file)
    assert (read_file.sep, read_file.continuing_subword_prefix) == (("<a>", 3), "@@")
    assert tokenizer_json(read_file) == text_of(file)


def test_vocabulary_and_added_tokens_are_written_by_id(tmp_path):
    file = read(tmp_path, FILE)
    shuffled = replace(
        file,
        vocabulary=dict(reversed(file.vocabulary.items())),
        added_tokens=dict(reversed(file.added_tokens.items())),
    )
    assert tokenizer_json(shuffled) == text_of(FILE)


def test_one_token_at_both_ends_is_one_special_token(tmp_path):
    file = replace(read(tmp_path, FILE), cls=("a", 5), sep=("a", 5))
    again = read(tmp_path, tokenizer_json(file).encode())
    assert again.cls == again.sep == ("a", 5)


@pytest.mark.parametrize(
    "path",
    [
        *("version", "truncation", "padding", "normalizer/strip_accents"),
        *(f"{section}/type" for section in ("model", "normalizer", "decoder", "post_processor")),
    ],
)
def test_what_the_library_does_not_need_may_be_missing(tmp_path, path):
    assert read(tmp_path, changed(path, MISSING)) == read(tmp_path, FILE)


def test_no_added_tokens_may_be_missing_too(tmp_path):
    assert read(tmp_path, changed("added_tokens", MISSING)).added_tokens == {}


def test_bert_processing_is_the_same_template(tmp_path):
    for value in (BERT_PROCESSING, {key: BERT_PROCESSING[key] for key in ("cls", "sep")}):
        file = read(tmp_path, changed("post_processor", value))
        assert file == read(tmp_path, FILE) and tokenizer_json(file) == text_of(FILE)


def test_truncation_of_an_old_file_is_from_the_right(tmp_path):
    old = {key: value for key, value in TRUNCATION.items() if key != "direction"}
    assert read(tmp_path, changed("truncation", old)).truncation == {**TRUNCATION, "direction": "Right"}
    shorter = {key: value for key, value in PADDING.items() if key != "pad_to_multiple_of"}
    assert read(tmp_path, changed("padding", shorter)).padding == {**PADDING, "pad_to_multiple_of": None}


@pytest.mark.parametrize("number", [13, 41])  # after the size of the vocabulary, and after its largest id
def test_a_vocabulary_with_holes_survives(tmp_path, number):
    file = changed("model/vocab/the", 40)
    file["added_tokens"] = [added(4, "[MASK]"), added(number, "new"), added(number + 1, "newer")]
    read_file = read(tmp_path, file)
    assert read_file.vocabulary["the"] == 40 and list(read_file.added_tokens) == [4, number, number + 1]
    assert tokenizer_json(read_file) == text_of(file)


def test_after_an_added_token_of_the_vocabulary_comes_the_next_number(tmp_path):
    file = changed("model/vocab/the", 40)
    file["added_tokens"] = [added(40, "the"), added(41, "new")]
    assert list(read(tmp_path, file).added_tokens) == [40, 41]


def test_white_space_and_escapes_do_not_matter(tmp_path):
    expected = read(tmp_path, FILE)
    for text in (json.dumps(FILE, separators=(",", ":")), json.dumps(FILE, indent="\t") + "\r\n", text_of(FILE)):
        assert read(tmp_path, text.encode()) == expected


# ---- what is refused

REFUSED = [
    ("version", "2.0", "the version must be 1.0"),
    ("extra", 1, 'the file has the unknown entries \\["extra"\\]'),
    ("model", MISSING, 'the file lacks the entries \\["model"\\]'),
    ("model", None, "model, not null"),
    ("model/type", "BPE", 'model must be of the type WordPiece, not "BPE"'),
    ("model/type", None, "model must be of the type WordPiece, not null"),
    ("model/dropout", 0.5, "model has the unknown entries"),
    ("model/unk_token", MISSING, "model lacks the entries"),
    ("model/unk_token", "nothing", "lacks the unk_token 'nothing'"),
    ("model/unk_token", None, "unk_token, not null"),
    ("model/max_input_chars_per_word", 2**64, "max_input_chars_per_word must be an integer from 0"),
    ("model/max_input_chars_per_word", -1, "max_input_chars_per_word must be an integer from 0"),
    ("model/max_input_chars_per_word", 100.0, "must have int as the entry max_input_chars_per_word, not 100.0"),
    ("model/max_input_chars_per_word", True, "must have int"),
    ("model/vocab", [], "must have dict as the entry vocab"),
    ("model/vocab", {}, "the vocabulary of the model is empty"),
    ("model/vocab/a", -1, "the id of 'a' must be an integer from 0 .* not -1"),
    ("model/vocab/a", 2**31, "the id of 'a' must be"),
    ("model/vocab/a", 5.0, "the id of 'a' must be"),
    ("model/vocab/a", True, "the id of 'a' must be"),
    ("model/vocab/a", "5", "the id of 'a' must be"),
    ("model/vocab/a", 6, "'a' and 'é' have the same id 6"),
    ("normalizer", None, "normalizer, not null"),
    ("normalizer/type", "Lowercase", "normalizer must be of the type BertNormalizer"),
    ("normalizer", {"type": "Sequence", "normalizers": [FILE["normalizer"]]}, 'not "Sequence"'),
    ("normalizer/clean_text", MISSING, "normalizer lacks the entries"),
    ("normalizer/clean_text", 1, "normalizer must have bool as the entry clean_text, not 1"),
    ("normalizer/strip_accents", "no", "normalizer must have bool or null as the entry strip_accents"),
    ("normalizer/extra", True, "normalizer has the unknown entries"),
    ("pre_tokenizer", None, "pre_tokenizer, not null"),
    ("pre_tokenizer", {}, "pre_tokenizer must be of the type BertPreTokenizer, not null"),
    ("pre_tokenizer/type", "Whitespace", "pre_tokenizer must be of the type BertPreTokenizer"),
    ("pre_tokenizer/extra", 1, "pre_tokenizer has the unknown entries"),
    ("decoder", None, "decoder, not null"),
    ("decoder/type", "BPEDecoder", "decoder must be of the type WordPiece"),
    ("decoder/prefix", "@@", "the decoder has the prefix '@@', the model '##'"),
    ("decoder/cleanup", None, "decoder must have bool"),
    ("post_processor", None, "post_processor, not null"),
    ("post_processor", {"type": "Sequence", "processors": [FILE["post_processor"]]}, "post_processor must be Template"),
    ("post_processor", {**BERT_PROCESSING, "type": "RobertaProcessing"}, "post_processor must be Template"),
    ("post_processor", {**BERT_PROCESSING, "trim_offsets": True}, "post_processor must be Template"),
    ("post_processor", {**BERT_PROCESSING, "cls": ["[CLS]", True]}, "the id of '\\[CLS\\]' in post_processor"),
    ("post_processor/type", "Bert", "post_processor must be Template"),
    ("post_processor/single", SINGLE[:2], "post_processor must be Template"),
    ("post_processor/single/1", piece("Sequence", "B", 0), "post_processor must be Template"),
    ("post_processor/single/1", piece("Sequence", "A", 1), "post_processor must be Template"),
    ("post_processor/single/1", piece("Sequence", "A", False), "post_processor must be Template"),
    ("post_processor/single/0", {"SpecialToken": {"id": "[CLS]", "type_id": 0.0}}, "post_processor must be Template"),
    ("post_processor/pair", SINGLE, "post_processor must be Template"),
    ("post_processor/pair/3", piece("Sequence", "B", 0), "post_processor must be Template"),
    ("post_processor/extra", 1, "post_processor must be Template"),
    ("post_processor/special_tokens", {}, "post_processor must be Template"),
    ("post_processor/special_tokens", [], "post_processor must be Template"),
    ("post_processor/special_tokens/[X]", {}, "post_processor must be Template"),
    ("post_processor/special_tokens/[CLS]/ids", [2, 2], "post_processor must be Template"),
    ("post_processor/special_tokens/[CLS]/ids", [None], "post_processor must be Template"),
    ("post_processor/special_tokens/[CLS]/ids", [True], "must be an integer from 0"),
    ("post_processor/special_tokens/[CLS]/ids", [-1], "must be an integer from 0"),
    ("post_processor/special_tokens/[CLS]/ids", [4], "gives cls, '\\[CLS\\]', the id 4, the vocabulary 2"),
    ("post_processor/special_tokens/[CLS]/tokens", ["a"], "post_processor must be Template"),
    ("added_tokens", None, "must have list as the entry added_tokens"),
    ("added_tokens", {}, "must have list as the entry added_tokens"),
    ("added_tokens/0", "[PAD]", "added_tokens\\[0\\] must be an object"),
    ("added_tokens/0/special", MISSING, "added_tokens\\[0\\] lacks the entries"),
    ("added_tokens/0/special", None, "added_tokens\\[0\\] must have bool as the entry special, not null"),
    ("added_tokens/0/extra", 1, "added_tokens\\[0\\] has the unknown entries"),
    ("added_tokens/0/content", "", "added_tokens\\[0\\] has no content"),
    ("added_tokens/0/content", "[UNK]", "'\\[UNK\\]' has the id 0, but would be given 1"),
    ("added_tokens/0/id", 1, "added_tokens\\[1\\] has .* an id that came before"),
    ("added_tokens/0/id", -1, "'\\[PAD\\]' must be an integer from 0"),
    ("added_tokens/6/id", 5, "an id that came before"),
    ("added_tokens/6/id", 12, "'New' has the id 12, but would be given 13"),
    ("added_tokens/7/id", 20, "'<x>' has the id 20, but would be given 14"),
    ("added_tokens/7/content", "New", "two added tokens have the same content"),
    ("truncation", 12, "must have dict or null as the entry truncation"),
    ("truncation", {}, "truncation lacks the entries"),
    ("truncation", {**TRUNCATION, "direction": "left"}, "the direction of truncation must be Left or Right"),
    ("truncation", {**TRUNCATION, "direction": ""}, "the direction of truncation must be Left or Right"),
    ("truncation", {**TRUNCATION, "strategy": "Longest"}, "the strategy of truncation must be"),
    ("truncation", {**TRUNCATION, "max_length": -1}, "the max_length of truncation must be"),
    ("truncation", {**TRUNCATION, "extra": 1}, "truncation has the unknown entries"),
    ("padding", {**PADDING, "strategy": "Longest"}, "the strategy of padding must be BatchLongest"),
    ("padding", {**PADDING, "strategy": {"Fixed": None}}, "the strategy of padding must have int"),
    ("padding", {**PADDING, "strategy": {"Fixed": -1}}, "the fixed length of padding must be"),
    ("padding", {**PADDING, "strategy": {}}, "the strategy of padding lacks the entries"),
    ("padding", {**PADDING, "direction": "right"}, "the direction of padding must be Left or Right"),
    ("padding", {**PADDING, "pad_id": -1}, "the pad_id of padding must be"),
    ("padding", {**PADDING, "pad_to_multiple_of": -8}, "the pad_to_multiple_of of padding must be"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_what_would_be_cut_differently_is_refused(tmp_path, path, value, message):
    with pytest.raises(ValueError, match=f"the tokenizer file .*tokenizer.json: .*{message}"):
        read(tmp_path, changed(path, value))


GOOD = json.dumps(FILE).encode()
NO_JSON = [
    (b"", "it is not valid JSON"),
    (GOOD[:-1], "it is not valid JSON"),
    (GOOD + b"x", "it is not valid JSON"),
    (b"\xef\xbb\xbf" + GOOD, "it is not valid JSON: .*BOM"),
    (GOOD.replace(b'"the"', b'"th\xff"'), "it is not UTF-8 text"),
    (GOOD.decode().encode("utf-16"), "it is not UTF-8 text"),
    (GOOD.replace(b'"the"', b'"th\\ud800"'), r"a string holds the lone surrogate '\\ud800'"),
    (GOOD.replace(b'"the"', b'"th\x01"'), "it is not valid JSON: Invalid control character"),
    (GOOD.replace(b'"the": 12', b'"the": NaN'), "it is not valid JSON: it holds NaN"),
    (GOOD.replace(b'"the": 12', b'"the": -Infinity'), "it is not valid JSON: it holds -Infinity"),
    (GOOD.replace(b'"the": 12', b'"the": 1e999'), "the id of 'the' must be an integer"),
    (GOOD.replace(b'"the": 12', b'"the": ' + b"1" * 5000), "Exceeds the limit"),
    (GOOD.replace(b'"the": 12', b'"the": 12, "the": 12'), 'the name "the" comes twice'),
    (GOOD.replace(b'"version"', b'"model": {}, "version"'), 'the name "model" comes twice'),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"model":' * 100_000, "nested too deeply"),
    (b"[]", "the file must be an object, not \\[\\]"),
    (b"null", "the file must be an object, not null"),
    (b"1", "the file must be an object, not 1"),
]


@pytest.mark.parametrize(("content", "message"), NO_JSON, ids=range(len(NO_JSON)))
def test_what_is_no_strict_json_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=f"tokenizer.json.* {message}"):
        read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no tokenizer file .*absent\.json"):
        read_tokenizer_json(tmp_path / "absent.json")


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    file = read(tmp_path, FILE)
    for change, message in (
        ({"unk_token": "nothing"}, "lacks the unk_token"),
        ({"vocabulary": {**file.vocabulary, "x": 5}}, "the same id 5"),
        ({"vocabulary": {**file.vocabulary, "x\udc00": 13}, "added_tokens": {}}, "lone surrogate"),
        ({"cls": ("[CLS]", 3)}, "gives cls"),
        ({"sep": ("absent", 3)}, "gives sep, 'absent', the id 3, the vocabulary None"),
        ({"added_tokens": {20: AddedToken("new")}}, "would be given 13"),
        ({"padding": {}}, "padding lacks"),
        ({"truncation": {**TRUNCATION, "stride": 1.5}}, "truncation must have int"),
    ):
        with pytest.raises(ValueError, match=message):
            tokenizer_json(replace(file, **change))


# ---- damaged files

VALUES = [None, True, False, 0, 1, -1, 3, 2**32, 1.5, 1e400, "", "a", "[SEP]", "Sequence", [], {}, ["a"], {"a": 1}]


def places(value: Any) -> list[tuple[Any, Any]]:
    """All pairs of a container and a key or index in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def damaged_value(draw: random.Random) -> Any:
    """FILE with one to three entries replaced, taken out, doubled or swapped."""
    file = copy.deepcopy(FILE) | draw.choice([{}, {"truncation": dict(TRUNCATION)}, {"padding": copy.deepcopy(PADDING)}])
    for _ in range(draw.choice([1, 1, 2, 3])):
        container, key = draw.choice(places(file))
        other, other_key = draw.choice(places(file))
        match draw.randrange(4):
            case 0:
                container[key] = draw.choice(VALUES)
            case 1:
                del container[key]
            case 2:
                container[key] = copy.deepcopy(other[other_key])
            case 3 if isinstance(container, dict):
                container[f"{key}x"] = container[key]
    return file


def damaged_bytes(draw: random.Random) -> bytes:
    """The bytes of FILE cut off, or with a few of them replaced, taken out or put in."""
    data = bytearray(text_of(FILE).encode())
    if draw.random() < 0.1:
        return bytes(data[: draw.randrange(len(data))])
    for _ in range(draw.choice([1, 1, 2, 5])):
        at = draw.randrange(len(data))
        data[at : at + draw.randrange(3)] = draw.choice(
            [b"", b'"', b"{", b"]", b"0", b"9", b"-", b"e9", b"\\", b"\xff", b"\\ud9ab"]
        )
    return bytes(data)


@pytest.mark.parametrize("damaged", [damaged_value, damaged_bytes])
def test_a_damaged_file_is_read_or_refused(tmp_path, damaged):
    draw = random.Random(5)
    outcomes = set()
    for _ in range(600):
        content = damaged(draw)
        try:
            file = read(tmp_path, content)
        except ValueError as error:
            outcomes.add("refused")
            assert "tokenizer.json" in str(error), content
        else:
            outcomes.add("read")
            text = tokenizer_json(file)
            assert tokenizer_json(read(tmp_path, text.encode())) == text
    assert outcomes == {"read", "refused"}


# ---- AddedToken


def test_an_added_token_is_normalized_unless_it_is_special():
    assert AddedToken("a") == AddedToken("a", False, False, False, True, False)
    assert AddedToken("a", special=True) == AddedToken("a", False, False, False, False, True)
    assert AddedToken("a", special=True, normalized=True).normalized
    assert not AddedToken("a", normalized=False).normalized


def test_added_tokens_are_compared_by_content_and_flags():
    tokens = [AddedToken("a"), AddedToken("b")]
    tokens += [AddedToken("a", **{flag: True}) for flag in ("single_word", "lstrip", "rstrip", "special")]
    tokens += [AddedToken("a", normalized=False), AddedToken("a", normalized=True, special=True)]
    assert len(set(tokens)) == len(tokens) and AddedToken("a") in tokens and AddedToken("a") != "a"
    assert [str(token) for token in tokens[:2]] == ["a", "b"] and str(AddedToken("")) == ""
    assert copy.deepcopy(tokens) == pickle.loads(pickle.dumps(tokens)) == tokens
    assert repr(AddedToken("a", lstrip=True)).startswith("AddedToken(content='a', single_word=False, lstrip=True")


def test_added_tokens_as_json():
    token = AddedToken("<x>", lstrip=True, special=True)
    flags = {"content": "<x>", "single_word": False, "lstrip": True, "rstrip": False, "normalized": False, "special": True}
    assert list(token.to_dict().items()) == list(flags.items())
    assert list(token.to_dict(number=7).items()) == [("id", 7), *flags.items()]
    assert token.to_dict(typed=True) == {"__type": "AddedToken", **flags}
    for entries in (flags, token.to_dict(number=7), token.to_dict(typed=True)):
        assert AddedToken.from_dict(entries) == token
    assert AddedToken.from_dict({"content": "<x>"}) == AddedToken("<x>")
    assert AddedToken.from_dict({"content": "<x>", "special": True}) == AddedToken("<x>", special=True)


@pytest.mark.parametrize("flag", ["single_word", "lstrip", "rstrip", "normalized", "special"])
def test_a_flag_that_is_no_bool_is_named(flag):
    with pytest.raises(TypeError, match=f"{flag} must be True or False, not 1"):
        AddedToken("a", **{flag: 1})
    with pytest.raises(TypeError, match=f"{flag} must be True or False, not None"):
        AddedToken.from_dict({"content": "a", flag: None})


def test_bad_content_and_entries_are_named():
    with pytest.raises(TypeError, match="content must be a string, not NoneType"):
        AddedToken(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="content has a lone surrogate"):
        AddedToken("a\ud800")
    with pytest.raises(TypeError, match=r"entries must be a dict .* not 'a'"):
        AddedToken.from_dict("a")  # pyright: ignore[reportArgumentType]
    for entries in ({}, {"special": True}, {"content": "a", "extra": 1}):
        with pytest.raises(ValueError, match="entries must hold content"):
            AddedToken.from_dict(entries)
    with pytest.raises(AttributeError):
        AddedToken("a").content = "b"  # pyright: ignore[reportAttributeAccessIssue]
