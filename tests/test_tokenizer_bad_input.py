"""Bad input to the tokenizers: it is refused in words that name the argument, and nothing is left half done."""

import copy
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convbert_np import AddedToken, BatchEncoding, ConvBertTokenizer, ConvBertTokenizerFast

VOCABULARY = Path(__file__).parent / "fixtures" / "untrained" / "vocab.txt"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BOTH = (ConvBertTokenizer, ConvBertTokenizerFast)
KINDS = pytest.mark.parametrize("kind", BOTH, ids=["slow", "fast"])
SURROGATE = "a\ud800b"


def shown(value) -> str:
    """A parameter for the name of a test: the same in every run, so without the address of an object."""
    return re.sub(r" (object )?at 0x[0-9a-f]+", "", repr(value))[:60]


NO_TEXTS = [
    3,
    1.5,
    True,
    b"x",
    bytearray(b"x"),
    {"a": 1},
    {"text": "a"},
    {"a"},
    range(3),
    iter("ab"),
    (text for text in ["a"]),
    np.array("a"),
    np.array(["a", "b"]),
    Path("a"),
    object(),
]


@pytest.fixture(params=BOTH, ids=["slow", "fast"])
def tiny(request) -> Any:
    return request.param(VOCABULARY)


def folder_with(folder: Path, vocabulary: bytes | None = "\n".join([*SPECIAL, "the", "king"]).encode(), **files: Any) -> Path:
    """A folder with the bytes of a vocab.txt, and JSON files of these bytes or values."""
    folder.mkdir(exist_ok=True)
    if vocabulary is not None:
        (folder / "vocab.txt").write_bytes(vocabulary)
    for name, content in files.items():
        (folder / f"{name}.json").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def snapshot(tokenizer: Any) -> Any:
    """What a refused change must not have touched."""
    return tokenizer.get_vocab(), tokenizer.special_tokens_map, tokenizer.added_tokens_decoder, tokenizer.tokenize("The [MASK]")


# ---- texts


@pytest.mark.parametrize("value", NO_TEXTS, ids=lambda value: type(value).__name__)
def test_what_is_no_text_is_refused_everywhere(tiny, value):
    for argument, call in (
        ("text", lambda: tiny(value)),
        ("text", lambda: tiny(value, is_split_into_words=True)),
        ("text_pair", lambda: tiny("a", value)),
        ("text_pair", lambda: tiny(["a"], value)),
        ("text_target", lambda: tiny("a", text_target=value)),
        ("text_pair_target", lambda: tiny("a", text_target="b", text_pair_target=value)),
        ("text", lambda: tiny.tokenize(value)),
        (r"text\[0\]", lambda: tiny([value])),
        (r"text\[1\]", lambda: tiny(["a", value])),
        (r"text_pair\[0\]", lambda: tiny(["a"], [value])),
        (r"text\[0\]\[1\]", lambda: tiny([("a", value)])),
        (r"text\[0\]", lambda: tiny([value], is_split_into_words=True)),
        (r"text\[1\]\[0\]", lambda: tiny([["a"], [value]], is_split_into_words=True)),
        ("batch_text_or_text_pairs", lambda: tiny.batch_encode_plus(value)),
        (r"batch_text_or_text_pairs\[0\]", lambda: tiny.batch_encode_plus([value])),
    ):
        if argument == r"batch_text_or_text_pairs\[0\]" and isinstance(value, range) and not tiny.is_fast:
            continue  # the slow class takes rows of ids here
        with pytest.raises(TypeError, match=rf"^{argument} must be "):
            call()
    if tiny.is_fast or not isinstance(value, range):
        with pytest.raises(TypeError, match=r"^text must be"):
            tiny.encode(value)


def test_strings_of_numpy_are_strings(tiny):
    assert tiny(np.str_("the king")) == tiny("the king")
    assert tiny([np.str_("the"), "king"]) == tiny(["the", "king"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "text must be given, or text_target"),
        ({"text": None}, ValueError, "text must be given, or text_target"),
        ({"text_pair": "a"}, ValueError, "text must be given, or text_target"),
        ({"text": "a", "text_pair_target": "b"}, ValueError, "text_pair_target with text_target"),
        ({"text_target": "a", "text_pair": "b"}, ValueError, "text_pair must be given with text"),
        ({"text": ["a", None]}, TypeError, r"text\[1\] must be a string, not NoneType"),
        ({"text": ["a", ["b"]]}, TypeError, r"text\[1\] must be a string, not list"),
        ({"text": ["a", ("b", "c")]}, TypeError, r"text\[1\] must be a string, not tuple"),
        ({"text": [["a"]]}, ValueError, r"text\[0\] must be a text or a pair of texts, not 1 of them"),
        ({"text": [["a", "b", "c"]]}, ValueError, r"text\[0\] must be a text or a pair of texts, not 3 of them"),
        ({"text": [[[["a"]]]]}, ValueError, r"text\[0\] must be a text or a pair"),
        ({"text": [[["a"], "b"]]}, TypeError, r"text\[0\]\[0\] must be a string, not list"),
        ({"text": [[[["a"]]]], "is_split_into_words": True}, TypeError, r"text\[0\]\[0\] must be a string, not list"),
        ({"text": ["a", ["b"]], "is_split_into_words": True}, TypeError, r"text\[1\] must be a string, not list"),
        ({"text": [["a"], "b"], "is_split_into_words": True}, TypeError, r"text\[1\] must be a list of words"),
        ({"text": "a b", "is_split_into_words": True}, TypeError, "text must be a list of words"),
        ({"text": []}, ValueError, "text is an empty batch"),
        ({"text": ["a"], "text_pair": []}, ValueError, "text_pair is an empty batch"),
        ({"text_target": []}, ValueError, "text_target is an empty batch"),
        ({"text": SURROGATE}, ValueError, r"text has a lone surrogate, '\\ud800' at index 1"),
        ({"text": ["a", SURROGATE]}, ValueError, r"text\[1\] has a lone surrogate"),
        ({"text": [["a", SURROGATE]], "is_split_into_words": True}, ValueError, r"text\[0\]\[1\] has a lone surrogate"),
        ({"text": "a", "text_pair": SURROGATE}, ValueError, "text_pair has a lone surrogate"),
        ({"text": "a", "text_target": SURROGATE}, ValueError, "text_target has a lone surrogate"),
        ({"text": "a", "text_pair": ["b"]}, TypeError, "text and text_pair must be both one text or both lists"),
        ({"text": ["a"], "text_pair": "b"}, TypeError, "text and text_pair must be both one text or both lists"),
        ({"text": ["a"], "text_pair": ["b", "c"]}, ValueError, "text and text_pair must be equally many: 1 and 2"),
    ],
)
def test_texts_that_do_not_fit_together_are_named(tiny, arguments, error, message):
    with pytest.raises(error, match=message):
        tiny(**arguments)


def test_one_row_and_a_batch_are_not_taken_for_each_other(tiny):
    with pytest.raises(ValueError, match="batch_text_or_text_pairs is an empty batch"):
        tiny.batch_encode_plus([])
    with pytest.raises(TypeError, match=r"batch_text_or_text_pairs must be a list of texts .* not str"):
        tiny.batch_encode_plus("the king")
    with pytest.raises((TypeError, ValueError), match=r"^text\[0\] must be a (string|text or a pair)"):
        tiny.encode([["the"], ["king"]])
    with pytest.raises(ValueError, match="text is an empty batch"):
        tiny.encode([])


def test_tokens_and_ids_that_the_slow_class_takes_for_a_text():
    tokenizer = ConvBertTokenizer(VOCABULARY)
    assert tokenizer.encode(["the", "no such"]) == [2, tokenizer.vocab["the"], 1, 3]
    assert tokenizer.encode([7, 8], [9]) == [2, 7, 8, 3, 9, 3]
    for text, pair, message in (
        ([7, "a"], None, r"text\[0\] must be a string, not int"),
        ([7, 1.5], None, r"text\[0\] must be a string, not int"),
        ([True], None, r"text\[0\] must be a string, not bool"),
        ([7], [], r"text_pair must be a list of tokens or of ids"),
        ([7], [8, "a"], r"text_pair\[0\] must be a string, not int"),
        ([7], "a", "text and text_pair must be both|text\\[0\\] must be a string"),
        (b"ab", None, "text must be"),
    ):
        with pytest.raises(TypeError, match=message):
            tokenizer.encode(text, pair)
    with pytest.raises(TypeError, match="text_pair must be a list of tokens or of ids"):
        tokenizer.encode([7], ["a"], is_split_into_words=True)
    with pytest.raises(TypeError, match="batch_text_or_text_pairs"):
        tokenizer.batch_encode_plus([[7, 8], [True]])


# ---- lengths, strategies and flags


@pytest.mark.parametrize("name", ["max_length", "stride", "pad_to_multiple_of"])
@pytest.mark.parametrize("value", [-1, 4.0, "5", True, float("nan"), [3], b"x", np.float32(5), np.array([5])], ids=shown)
def test_a_length_that_is_none_is_named(tiny, name, value):
    for call in (tiny, tiny.encode_plus, tiny.encode):
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be (an integer|at least)"):
            call("the king", **{"padding": True, "truncation": True, "max_length": 8, name: value})
    if name != "stride":
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be (an integer|at least)"):
            tiny.pad({"input_ids": [1]}, **{name: value})


@pytest.mark.parametrize("name", ["padding", "truncation"])
@pytest.mark.parametrize("value", ["left", "", 0, 1, 2, 1.5, b"longest", ["longest"], np.True_, np.array([1])], ids=shown)
def test_a_strategy_that_is_none_is_named_with_those_that_are(tiny, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be True, False or one of do_not_.* not "):
        tiny("the king", max_length=8, **{name: value})


@pytest.mark.parametrize(
    "name",
    [
        "add_special_tokens",
        "is_split_into_words",
        "return_token_type_ids",
        "return_attention_mask",
        "return_overflowing_tokens",
        "return_special_tokens_mask",
        "return_offsets_mapping",
        "return_length",
        "verbose",
    ],
)
@pytest.mark.parametrize("value", [0, 1, "yes", np.True_, [True]], ids=shown)
def test_a_flag_that_is_neither_true_nor_false_is_named(tiny, name, value):
    for call in (tiny, tiny.encode_plus):
        with pytest.raises(TypeError, match=f"^{name} must be True or False, not "):
            call("the king", **{name: value})


@pytest.mark.parametrize("value", ["pt", "tf", "jax", "NP", 3, True, np.array([1])], ids=shown)
def test_only_arrays_of_numpy_are_made(tiny, value):
    expected = 'return_tensors must be None or "np", not '
    for call in (tiny, tiny.encode_plus, tiny.encode):
        with pytest.raises(ValueError, match=expected):
            call("a", return_tensors=value)
    for call in (
        lambda: tiny.batch_encode_plus(["a"], return_tensors=value),
        lambda: tiny.pad({"input_ids": [1]}, return_tensors=value),
    ):
        with pytest.raises(ValueError, match=expected):
            call()
    with pytest.raises(ValueError, match=expected):
        tiny("a").convert_to_tensors(value)


def test_an_argument_that_there_is_not_is_named(tiny):
    for call in (
        lambda: tiny("a", bogus=1),
        lambda: tiny.encode("a", bogus=1),
        lambda: tiny.encode_plus("a", bogus=1),
        lambda: tiny.batch_encode_plus(["a"], bogus=1),
        lambda: tiny.tokenize("a", bogus=1),
        lambda: tiny.decode([5], bogus=1),
        lambda: tiny.batch_decode([[5]], bogus=1),
        lambda: tiny.pad({"input_ids": [1]}, bogus=1),
        lambda: type(tiny)(VOCABULARY, bogus=1),
        lambda: type(tiny).from_pretrained(VOCABULARY.parent, bogus=1),
    ):
        with pytest.raises(TypeError, match="bogus"):
            call()


@pytest.mark.filterwarnings("ignore:max_length is given without truncation")
@pytest.mark.parametrize("truncation", [True, "only_first", "longest_first", None])
def test_a_max_length_smaller_than_the_special_tokens_is_refused(tiny, truncation):
    for limit in (0, 1):
        with pytest.raises(ValueError, match=f"max_length must be at least 2, the number of special tokens, not {limit}"):
            tiny("the king", truncation=truncation, max_length=limit)
        with pytest.raises(ValueError, match=f"max_length must be at least 3, the number of special tokens, not {limit}"):
            tiny("the king", "of", truncation=truncation, max_length=limit)
    with pytest.raises(ValueError, match="max_length must be at least 3"):
        tiny([("the king", "of"), ("a", "b")], truncation=truncation, max_length=2)


def test_a_max_length_without_special_tokens_may_be_anything():
    tokenizer = ConvBertTokenizerFast(VOCABULARY)
    for limit in (0, 1, 2):
        row = tokenizer("the king of", truncation=True, max_length=limit, add_special_tokens=False)
        assert len(row["input_ids"]) == limit


def test_what_cannot_be_truncated_as_asked():
    slow, fast = ConvBertTokenizer(VOCABULARY), ConvBertTokenizerFast(VOCABULARY)
    long = {"text": "the", "text_pair": "king of the", "truncation": "only_first", "max_length": 4}
    with pytest.raises(ValueError, match="cannot take 3 ids off the first text, which has 1"):
        fast(**long)
    with pytest.warns(UserWarning, match="cannot take 3 ids off the first text, which has 1: nothing is cut"):
        slow(**long)
    with pytest.raises(ValueError, match=r'truncation="only_second" needs a second text \(text_pair\)'):
        fast("the king of", truncation="only_second", max_length=4)
    for stride in (3, 5, 2**70):
        with pytest.raises(ValueError, match="stride must be"):
            fast("the king of the king", truncation=True, max_length=4, stride=stride)
    with pytest.raises(ValueError, match="stride must be smaller than the 1 ids that max_length leaves"):
        fast("the king of", "a b c", truncation="longest_first", max_length=6, stride=1)
    with pytest.raises(ValueError, match="return_overflowing_tokens=True needs a max_length"):
        slow("the king", return_overflowing_tokens=True)
    with pytest.raises(ValueError, match="return_overflowing_tokens=True needs truncation='only_first' or 'only_second'"):
        slow("the king", "of", return_overflowing_tokens=True, truncation=True, max_length=4)
    with pytest.raises(ValueError, match="return_offsets_mapping=True needs ConvBertTokenizerFast"):
        slow("the king", return_offsets_mapping=True)
    with pytest.raises(ValueError, match="return_token_type_ids=True needs add_special_tokens=True"):
        slow("the king", return_token_type_ids=True, add_special_tokens=False)


def test_lengths_beyond_all_reason_are_refused_before_the_memory_is_full(tiny):
    for arguments in (
        {"padding": "max_length", "max_length": 10**12},
        {"padding": True, "pad_to_multiple_of": 2**64},
        {"padding": True, "pad_to_multiple_of": 10**30},
    ):
        with pytest.raises(ValueError, match="max_length and pad_to_multiple_of ask for rows of 1"):
            tiny("the king", **arguments)
        with pytest.raises(ValueError, match="max_length and pad_to_multiple_of ask for rows of 1"):
            tiny.pad({"input_ids": [1]}, **arguments)
    assert len(tiny("the king", truncation=True, max_length=10**30)["input_ids"]) == 4


def test_max_length_and_pad_to_multiple_of_that_contradict_each_other(tiny):
    with pytest.raises(ValueError, match="max_length 10 is no multiple of pad_to_multiple_of 4"):
        tiny("the king", padding=True, truncation=True, max_length=10, pad_to_multiple_of=4)


def test_rows_of_several_lengths_are_no_array(tiny):
    with pytest.raises(
        ValueError, match='return_tensors="np" needs rows of one length, input_ids has several: pass padding=True'
    ):
        tiny(["the", "the king"], return_tensors="np")
    batch = tiny(["the", "the king"], text_target=["a", "b c"], padding=True)
    batch["labels"] = [[1], [1, 2]]
    before = copy.deepcopy(dict(batch))
    with pytest.raises(ValueError, match=r"labels has several: only input_ids, .* are padded; pad labels beforehand"):
        batch.convert_to_tensors("np")
    assert dict(batch) == before and isinstance(batch["input_ids"], list), "all or nothing is converted"


def test_without_a_pad_token_nothing_is_padded(tiny):
    tiny.pad_token = None
    for call in (lambda: tiny(["a", "a b"], padding=True), lambda: tiny.pad({"input_ids": [[1], [1, 2]]})):
        with pytest.raises(ValueError, match="padding needs a pad_token, and this tokenizer has none"):
            call()
    assert tiny(["a", "a b"])["input_ids"][0] == tiny("a")["input_ids"]


def test_without_cls_or_sep_no_row_holds_none():
    for name in ("cls_token", "sep_token"):
        tokenizer = ConvBertTokenizer(VOCABULARY)
        setattr(tokenizer, name, None)
        for call in (lambda: tokenizer("a"), lambda: tokenizer.build_inputs_with_special_tokens([5])):  # noqa: B023
            with pytest.raises(ValueError, match="the tokenizer has no cls_token or no sep_token"):
                call()
        assert tokenizer("a", add_special_tokens=False)["input_ids"] == [tokenizer.vocab["a"]]


# ---- ids and tokens

NO_IDS = [
    None,
    1.5,
    True,
    "5",
    "the",
    b"ab",
    bytearray(b"ab"),
    [1.5],
    [True],
    ["5"],
    [None],
    [[5]],
    [5, [6]],
    {5},
    {5: 6},
    iter([5]),
]
NO_ROWS = [*NO_IDS, np.array([[5]]), np.array([1.5]), np.array([True]), np.array(["a"]), object()]


@pytest.mark.parametrize("value", NO_ROWS, ids=shown)
def test_what_is_no_row_of_ids_is_refused(tiny, value):
    for name, call in (
        ("token_ids", tiny.decode),
        ("ids", tiny.convert_ids_to_tokens),
        ("token_ids_0", tiny.build_inputs_with_special_tokens),
        ("token_ids_0", tiny.create_token_type_ids_from_sequences),
        ("token_ids_0", lambda ids: tiny.get_special_tokens_mask(ids, already_has_special_tokens=True)),
    ):
        with pytest.raises(TypeError, match=f"^{name} must be (an integer|one row)"):
            call(value)
    with pytest.raises(TypeError, match=r"^sequences\[1\] must be (an integer|one row)"):
        tiny.batch_decode([[5], value])
    if value is not None:
        for call in (tiny.build_inputs_with_special_tokens, tiny.create_token_type_ids_from_sequences):
            with pytest.raises(TypeError, match=r"^token_ids_1 must be"):
                call([5], value)


@pytest.mark.parametrize("value", [None, 5, "the", b"ab", {5}, iter([[5]]), np.array(5)], ids=shown)
def test_what_is_no_list_of_rows_is_refused(tiny, value):
    with pytest.raises(TypeError, match=r"^sequences must be a list of rows of ids"):
        tiny.batch_decode(value)


@pytest.mark.parametrize("value", NO_ROWS, ids=shown)
def test_what_is_no_row_of_ids_is_refused_by_the_slow_class(value):
    tokenizer = ConvBertTokenizer(VOCABULARY)
    for name, call in (
        ("ids", tokenizer.prepare_for_model),
        ("ids", tokenizer.truncate_sequences),
        ("token_ids_0", tokenizer.get_special_tokens_mask),
    ):
        with pytest.raises(TypeError, match=f"^{name} must be (an integer|one row)"):
            call(value)
    if value is not None:
        for name, call in (
            ("pair_ids", tokenizer.prepare_for_model),
            ("pair_ids", tokenizer.truncate_sequences),
            ("token_ids_1", tokenizer.get_special_tokens_mask),
        ):
            with pytest.raises(TypeError, match=f"^{name} must be (an integer|one row)"):
                call([5], value)


def test_ids_of_no_token():
    slow, fast = ConvBertTokenizer(VOCABULARY), ConvBertTokenizerFast(VOCABULARY)
    for number in (1200, 99999, 2**70):
        assert slow.decode([number]) == slow.convert_ids_to_tokens(number) == "[UNK]"
        assert fast.decode([number]) == "" and fast.convert_ids_to_tokens(number) is None
    assert slow.convert_ids_to_tokens([-1]) == ["[UNK]"], "never the last token"
    for call in (fast.decode, fast.convert_ids_to_tokens):
        with pytest.raises(ValueError, match="ids must be at least 0, not -1"):
            call([5, -1])
    with pytest.raises(ValueError, match="needs numbers of at most 64 bits, input_ids holds"):
        slow.prepare_for_model([2**70], return_tensors="np")


@pytest.mark.parametrize(
    "value",
    [5, 1.5, b"ab", [5], [None], ["a", 5], [["a"]], {"a"}, iter(["a"]), np.array(["a"])],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_token_is_refused(tiny, value):
    with pytest.raises(TypeError, match=r"^tokens(\[\d\])? must be a (string|list of strings)"):
        tiny.convert_tokens_to_ids(value)
    if not isinstance(value, set | np.ndarray) and not hasattr(value, "__next__"):
        with pytest.raises(TypeError, match=r"^tokens(\[\d\])? must be a (string|list of strings)"):
            tiny.convert_tokens_to_string(value)


def test_tokens_that_are_no_text(tiny):
    with pytest.raises(TypeError, match="tokens must be a list of strings, not 'the'"):
        tiny.convert_tokens_to_string("the")
    with pytest.raises(ValueError, match=r"tokens\[1\] has a lone surrogate"):
        tiny.convert_tokens_to_ids(["a", SURROGATE])
    with pytest.raises(ValueError, match=r"tokens has a lone surrogate"):
        tiny.convert_tokens_to_ids(SURROGATE)
    with pytest.raises(TypeError, match=r"tokens must be a string or a list of strings, not bytes"):
        tiny.convert_tokens_to_ids(b"the")
    for value in (None, 5, ["a"], b"a"):
        with pytest.raises(TypeError, match="out_string must be a string"):
            tiny.clean_up_tokenization(value)
    tokens = ["the", "no such token"] * 100_000
    assert tiny.convert_tokens_to_ids(tokens) == [tiny.vocab["the"], 1] * 100_000


@pytest.mark.parametrize("name", ["skip_special_tokens", "clean_up_tokenization_spaces", "spaces_between_special_tokens"])
def test_flags_of_decode_and_of_the_masks(tiny, name):
    with pytest.raises(TypeError, match=f"^{name} must be True or False, not 1"):
        tiny.decode([5], **{name: 1})
    with pytest.raises(TypeError, match=r"^pair must be True or False, not 2"):
        tiny.num_special_tokens_to_add(2)
    with pytest.raises(TypeError, match=r"^already_has_special_tokens must be True or False, not 1"):
        tiny.get_special_tokens_mask([5], already_has_special_tokens=1)
    with pytest.raises(ValueError, match=r"token_ids_1 (must be )?None"):
        tiny.get_special_tokens_mask([5], [6], already_has_special_tokens=True)


def test_arguments_of_truncate_sequences():
    tokenizer = ConvBertTokenizer(VOCABULARY)
    for arguments, message in (
        ({"num_tokens_to_remove": 1.5}, "num_tokens_to_remove must be an integer"),
        ({"num_tokens_to_remove": True}, "num_tokens_to_remove must be an integer"),
        ({"truncation_strategy": "first"}, "truncation_strategy must be True, False or one of"),
        ({"stride": -1}, "stride must be at least 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            tokenizer.truncate_sequences([5, 6], **arguments)
    with pytest.raises(TypeError, match="prepend_batch_axis must be True or False"):
        tokenizer.prepare_for_model([5], prepend_batch_axis=1)


# ---- pad


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("abc", TypeError, "encoded_inputs must be a mapping or a list of mappings, not str"),
        (None, TypeError, "encoded_inputs must be a mapping or a list of mappings, not NoneType"),
        ([[1, 2]], TypeError, "encoded_inputs must be a mapping or a list of mappings"),
        ([], ValueError, "encoded_inputs is an empty list"),
        ({}, ValueError, "encoded_inputs must hold input_ids"),
        ({"ids": [1]}, ValueError, r"encoded_inputs must hold input_ids, it holds \['ids'\]"),
        ([{"input_ids": [1]}, {"ids": [1]}], ValueError, "encoded_inputs have different names"),
        ([{"input_ids": [1]}, 5], TypeError, "encoded_inputs must be a mapping or a list of mappings"),
        *(
            ({"input_ids": value}, TypeError, r"encoded_inputs\['input_ids'\] must (be a list of|hold) integers")
            for value in (
                5,
                None,
                "ab",
                b"ab",
                ["a"],
                [1.5],
                [[1.5]],
                [True],
                [None],
                [[1], 2],
                [[1], None],
                [[[1]]],
                {1: 2},
                range(3),
            )
        ),
        *(
            ({"input_ids": value}, TypeError, r"encoded_inputs\['input_ids'\] must be a list of integers")
            for value in (np.array(5), np.array([[1.5]]), np.array([[[1]]]), np.array(["a"]))
        ),
        (
            {"input_ids": [[1], [1, 2]], "token_type_ids": [[0]]},
            ValueError,
            "2 rows of input_ids but not as many of token_type_ids",
        ),
        ({"input_ids": [[1], [1, 2]], "labels": 5}, ValueError, "2 rows of input_ids but not as many of labels"),
        ({"input_ids": [[1], [1, 2]], "token_type_ids": [0, 0]}, ValueError, r"\['token_type_ids'\] must be a list as long as"),
        (
            {"input_ids": [[1], [1, 2]], "token_type_ids": [[0], [0]]},
            ValueError,
            r"\['token_type_ids'\] must be a list as long as",
        ),
        (
            {"input_ids": [1, 2], "attention_mask": [1]},
            ValueError,
            r"\['attention_mask'\] must be a list as long as input_ids \(2\)",
        ),
        ({"input_ids": [1, 2], "attention_mask": None}, ValueError, r"\['attention_mask'\] must be a list as long as"),
        ({"input_ids": [1, 2], "special_tokens_mask": 5}, ValueError, r"\['special_tokens_mask'\] must be a list as long as"),
        ({"input_ids": [1], "extra": object()}, TypeError, r"encoded_inputs\['extra'\] must hold integers, not object"),
    ],
)
def test_what_cannot_be_padded_is_named(tiny, given, error, message):
    for arguments in ({}, {"return_tensors": "np"}, {"padding": "max_length", "max_length": 8}):
        with pytest.raises(error, match=message):
            tiny.pad(given, **arguments)


def test_pad_changes_nothing_that_it_was_given(tiny):
    given = {"input_ids": [[1], [1, 2]], "labels": [0.5, 1.5]}
    padded = tiny.pad(given, return_tensors="np")
    assert given == {"input_ids": [[1], [1, 2]], "labels": [0.5, 1.5]}
    assert padded["labels"].tolist() == [0.5, 1.5] and padded["input_ids"].tolist() == [[1, 0], [1, 2]]
    with pytest.raises(TypeError, match="return_attention_mask must be True or False"):
        tiny.pad(given, return_attention_mask=3)


# ---- what is returned


def test_rows_and_tokens_that_there_are_not():
    encoding = ConvBertTokenizerFast(VOCABULARY)(["the king", "of"])
    for name in ("tokens", "word_ids", "sequence_ids"):
        with pytest.raises(IndexError, match=r"batch_index must be in \[-2, 2\), not 2"):
            getattr(encoding, name)(2)
        for value in ("a", None, 1.5, True):
            with pytest.raises(TypeError, match="needs an integer as batch_index"):
                getattr(encoding, name)(value)
    for name in ("token_to_chars", "token_to_word", "token_to_sequence"):
        with pytest.raises(IndexError, match=r"token_index must be in \[-4, 4\), not 4"):
            getattr(encoding, name)(0, 4)
        with pytest.raises(IndexError, match=r"token_index must be in \[-4, 4\), not -5"):
            getattr(encoding, name)(-5)
    for name in ("token_to_chars", "char_to_token", "char_to_word", "word_to_tokens", "word_to_chars"):
        with pytest.raises(IndexError, match=r"batch_index must be in \[-2, 2\), not -3"):
            getattr(encoding, name)(-3, 0)
        for value in ("a", None, 1.5, True):
            with pytest.raises(TypeError, match="needs an integer"):
                getattr(encoding, name)(value)
            if value is not None:
                with pytest.raises(TypeError, match="needs an integer"):
                    getattr(encoding, name)(0, value)
    for name in ("char_to_token", "word_to_tokens"):
        for sequence in (1, -1, 5):
            with pytest.raises(ValueError, match=rf"sequence_index must be in \[0, 1\), not {sequence}"):
                getattr(encoding, name)(0, 0, sequence)
    with pytest.raises(IndexError, match=r"batch_index must be in \[-2, 2\), not 9"):
        encoding[9]


def test_what_the_slow_class_does_not_know_of_its_rows():
    encoding = ConvBertTokenizer(VOCABULARY)("the king")
    for call in (encoding.tokens, encoding.word_ids, lambda: encoding.char_to_token(0), lambda: encoding[0]):
        with pytest.raises(ValueError, match="needs an encoding of ConvBertTokenizerFast"):
            call()
    with pytest.raises(KeyError, match="nothing"):
        encoding["nothing"]
    with pytest.raises(AttributeError, match="the encoding has no 'nothing', only input_ids"):
        _ = encoding.nothing


@pytest.mark.parametrize("value", [["x"], None, [2**70], [2**63], [object()], [b"a"]], ids=shown)
def test_what_is_no_array_of_numbers_is_named(value):
    with pytest.raises(ValueError, match=r"needs numbers of at most 64 bits, a holds|a has several"):
        BatchEncoding({"a": value}, tensor_type="np")


# ---- settings and special tokens

BAD_SETTINGS = [
    *(
        ({name: value}, f"{name} must be True or False")
        for name in ("do_lower_case", "tokenize_chinese_chars")
        for value in (None, 1, "no")
    ),
    *(
        ({name: value}, f"{name} must be True or False")
        for name in ("strip_accents", "clean_up_tokenization_spaces")
        for value in (1, "no")
    ),
    ({"split_special_tokens": 1}, "split_special_tokens must be True or False"),
    *(({"model_max_length": value}, "model_max_length must be") for value in (0, -1, "512", 1.5, True, float("nan"))),
    *(
        ({name: value}, f"{name} must be 'right' or 'left'")
        for name in ("padding_side", "truncation_side")
        for value in ("up", 5, "", [])
    ),
    *(({"pad_token_type_id": value}, "pad_token_type_id must be") for value in (-1, "x", 1.5, None)),
    *(({"model_input_names": value}, "model_input_names") for value in (5, "input_ids", [], [5], ["a"], None)),
    *(({"mask_token": value}, "mask_token must") for value in (5, "", ["a"], {}, b"x")),
    ({"pad_token": SURROGATE}, "pad_token has a lone surrogate"),
    ({"bos_token": 5}, "bos_token must be a string or an AddedToken"),
    *(({"additional_special_tokens": value}, "additional_special_tokens") for value in ("x", [5], [None], {"a": 1}, [""])),
]


@KINDS
@pytest.mark.parametrize(("settings", "message"), BAD_SETTINGS, ids=shown)
def test_a_bad_setting_is_named_by_the_constructor_and_when_it_is_set(kind, settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        kind(VOCABULARY, **settings)
    tokenizer = kind(VOCABULARY)
    before = snapshot(tokenizer)
    [(name, value)] = settings.items()
    with pytest.raises((TypeError, ValueError), match=message):
        setattr(tokenizer, name, value)
    assert snapshot(tokenizer) == before


def test_settings_of_one_class():
    for value in ("the", [1], b"x", 5, {"a": 1}):
        with pytest.raises(TypeError, match=r"never_split(\[0\])? must be a"):
            ConvBertTokenizer(VOCABULARY, never_split=value)
        with pytest.raises(TypeError, match=r"never_split(\[0\])? must be a"):
            ConvBertTokenizer(VOCABULARY).never_split = value
        with pytest.warns(UserWarning, match="never_split=.* has no effect on ConvBertTokenizerFast"):
            ConvBertTokenizerFast(VOCABULARY, never_split=value)
    with pytest.raises(TypeError, match="do_basic_tokenize must be True or False"):
        ConvBertTokenizer(VOCABULARY, do_basic_tokenize=0)
    with pytest.raises(TypeError, match="clean_text must be True or False"):
        ConvBertTokenizerFast(VOCABULARY, clean_text="x")
    with pytest.raises(TypeError, match="wordpieces_prefix must be a string"):
        ConvBertTokenizerFast(VOCABULARY, wordpieces_prefix=5)
    for kind, name in ((ConvBertTokenizer, "unk_token"), *((ConvBertTokenizerFast, f"{n}_token") for n in ("unk", "cls", "sep"))):
        with pytest.raises(TypeError, match=f"{name} must be a string or an AddedToken, not None"):
            kind(VOCABULARY, **{name: None})


@pytest.mark.parametrize("value", [-1, 1200, 99999, 1.5, True, "4", [4], b"a"], ids=shown)
def test_a_special_token_is_not_set_by_the_id_of_no_token(tiny, value):
    before = snapshot(tiny)
    with pytest.raises((TypeError, ValueError), match=r"mask_token_id must be (an integer|the id of a token)"):
        tiny.mask_token_id = value
    with pytest.raises((TypeError, ValueError), match="additional_special_tokens_ids must be"):
        tiny.additional_special_tokens_ids = [4, value]
    assert snapshot(tiny) == before


def test_ids_of_further_special_tokens_are_a_list(tiny):
    for value in (None, "4", b"a", 1.5, iter([4])):
        with pytest.raises(TypeError, match="additional_special_tokens_ids must be"):
            tiny.additional_special_tokens_ids = value


@pytest.mark.parametrize(
    "value",
    [5, b"x", True, ["a", 5], ["a", None], [b"a"], {"a"}, {"a": 1}, iter(["a"]), np.array(["a"])],
    ids=lambda value: type(value).__name__,
)
def test_tokens_to_add_that_are_none(tiny, value):
    before = snapshot(tiny)
    with pytest.raises(TypeError, match=r"new_tokens\[\d\] must be a string or an AddedToken"):
        tiny.add_tokens(value)
    assert snapshot(tiny) == before
    with pytest.raises(ValueError, match=r"new_tokens\[1\] has a lone surrogate"):
        tiny.add_tokens(["new", SURROGATE])
    with pytest.raises(TypeError, match="special_tokens must be True or False"):
        tiny.add_tokens(["new"], special_tokens=1)
    assert snapshot(tiny) == before
    assert tiny.add_tokens([]) == tiny.add_tokens("") == tiny.add_tokens(None) == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        *((value, "special_tokens_dict must be a dict") for value in (None, 5, "mask_token", ["mask_token"], [])),
        ({5: "a"}, "special_tokens_dict has 5, which is none of bos_token"),
        ({"mask_token": "<new>", "mask": "a"}, "special_tokens_dict has 'mask', which is none of bos_token"),
        ({"mask_token": "<new>", "pad_token": 5}, "pad_token must be a string or an AddedToken, not 5"),
        ({"mask_token": "<new>", "pad_token": ""}, "pad_token must not be empty"),
        ({"mask_token": "<new>", "additional_special_tokens": "a"}, "additional_special_tokens must be a list"),
        ({"mask_token": "<new>", "additional_special_tokens": ["a", 5]}, r"additional_special_tokens\[1\] must be a string"),
        ({"mask_token": SURROGATE}, "mask_token has a lone surrogate"),
    ],
)
def test_special_tokens_that_are_none_change_nothing(tiny, value, message):
    before = snapshot(tiny)
    with pytest.raises((TypeError, ValueError), match=message):
        tiny.add_special_tokens(value)
    assert snapshot(tiny) == before
    with pytest.raises(TypeError, match="replace_additional_special_tokens must be True or False"):
        tiny.add_special_tokens({"mask_token": "a"}, 1)
    assert snapshot(tiny) == before


@pytest.mark.parametrize(
    "value",
    [5, ["x"], {"x": AddedToken("a")}, {-1: AddedToken("a")}, {True: AddedToken("a")}, {7: "a"}, {7: {"text": "a"}}],
    ids=shown,
)
@KINDS
def test_added_tokens_that_are_none(kind, value):
    with pytest.raises(ValueError, match="added_tokens_decoder"):
        kind(VOCABULARY, added_tokens_decoder=value)
    for arguments in ((5,), (None,), (b"a",), ("a", 1), ("a", False, "x")):
        with pytest.raises(TypeError, match=r"(content|single_word|lstrip) must be"):
            AddedToken(*arguments)
    with pytest.raises(ValueError, match="content has a lone surrogate"):
        AddedToken(SURROGATE)


# ---- vocabularies and folders


@KINDS
def test_a_vocabulary_file_that_cannot_be_used(kind, tmp_path):
    path = tmp_path / "vocab.txt"
    with pytest.raises(FileNotFoundError, match=r"no vocabulary file .*vocab\.txt"):
        kind(path)
    with pytest.raises(IsADirectoryError, match=r"vocab_file must be a file, .* is a folder"):
        kind(tmp_path)
    for content, message in (
        (b"", r"vocab\.txt is empty"),
        (b"[PAD]\n\xff\n", r"vocab\.txt is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"vocab\.txt is not UTF-8"),
        ("\n".join(SPECIAL).encode("utf-16"), r"vocab\.txt is not UTF-8"),
        (b"\n\n", r"lacks \[UNK\], \[SEP\], \[PAD\], \[CLS\], \[MASK\]"),
        (b"\0\1\2", r"lacks \[UNK\]"),
        (b"\xef\xbb\xbf" + "\n".join(SPECIAL).encode(), r"vocab\.txt begins with a byte order mark"),
        (b"[PAD]\n[CLS]\n[SEP]\n[MASK]\nthe", r"vocab.txt lacks \[UNK\]$"),
        (b"[PAD]\n[UNK]\n[SEP]\n[MASK]\nthe", r"vocab.txt lacks \[CLS\]$"),
        (b"[PAD]\n[UNK]\n[SEP]\nthe\n", r"vocab.txt lacks \[CLS\], \[MASK\]$"),
        (b"[pad]\n[unk]\n[cls]\n[sep]\n[mask]\n", r"lacks \[UNK\]"),
    ):
        path.write_bytes(content)
        for call in (lambda: kind(path), lambda: kind.from_pretrained(tmp_path)):
            with pytest.raises(ValueError, match=message):
                call()


NO_PATHS = [
    *((value, TypeError) for value in (5, 0, True, b"x", 1.5, ["vocab.txt"], {"a": 1}, object())),
    *((value, ValueError) for value in ("", "\0", SURROGATE)),
]


@pytest.mark.parametrize(("value", "error"), NO_PATHS, ids=shown)
def test_what_is_no_path_is_named(tiny, tmp_path, value, error):
    for name, call in (
        ("vocab_file", type(tiny)),
        ("name_or_path", type(tiny).from_pretrained),
        ("save_directory", tiny.save_pretrained),
        ("save_directory", tiny.save_vocabulary),
        ("tokenizer_file", lambda path: ConvBertTokenizerFast(VOCABULARY, tokenizer_file=path)),
    ):
        with pytest.raises(error, match=f"^{name} must be a path"):
            call(value)
    for call in (tiny.save_pretrained, tiny.save_vocabulary, type(tiny).from_pretrained, ConvBertTokenizer):
        with pytest.raises(TypeError, match=r"must be a path .* not None"):
            call(None)
    with pytest.raises(ValueError, match="vocab_file or tokenizer_file must be given"):
        ConvBertTokenizerFast()


@KINDS
def test_a_folder_that_there_is_not(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent: there is no such file or directory"):
        kind.from_pretrained(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no vocabulary file .*vocab\.txt"):
        kind.from_pretrained(folder_with(tmp_path / "empty", None))
    (tmp_path / "odd" / "vocab.txt").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match="vocab_file must be a file"):
        kind.from_pretrained(tmp_path / "odd")
    with pytest.raises(TypeError, match="from_slow must be True or False"):
        kind.from_pretrained(VOCABULARY.parent, from_slow=1)


@KINDS
def test_a_single_file_is_the_vocabulary(kind, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    path = tmp_path / "vocab.txt"
    path.write_bytes(VOCABULARY.read_bytes())
    assert kind.from_pretrained(path)("The king").input_ids == kind(VOCABULARY)("The king").input_ids
    assert kind.from_pretrained(path, do_lower_case=False).tokenize("The") == ["[UNK]"]
    with pytest.raises(TypeError, match="has no argument 'nothing'; it has vocab_file, "):
        kind.from_pretrained(path, nothing=1)
    ConvBertTokenizerFast(VOCABULARY, do_lower_case=False).save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "tokenizer.json"
    if kind is ConvBertTokenizerFast:
        assert kind.from_pretrained(path).tokenize("The the") == ["[UNK]", "the"]
        assert kind.from_pretrained(path, do_lower_case=True).tokenize("The the") == ["the", "the"]
    else:
        with pytest.raises(
            ValueError, match=r"ConvBertTokenizer reads a vocab\.txt, only ConvBertTokenizerFast a tokenizer\.json"
        ):
            kind.from_pretrained(path)


@KINDS
@pytest.mark.parametrize("name", ["tokenizer_config", "special_tokens_map", "added_tokens", "tokenizer"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 50_000, b'{"a": 1,}', b"[]", b"3", b"null", b'"text"'],
    ids=shown,
)
def test_a_damaged_file_is_named(kind, tmp_path, name, content):
    with pytest.raises(ValueError, match=rf"{name}\.json (is not valid JSON|must hold a JSON object)"):
        kind.from_pretrained(folder_with(tmp_path, **{name: content}))


@KINDS
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"added_tokens": {"<new>": "x"}}, r"added_tokens\.json has the id 'x'"),
        *(({"added_tokens": {"<new>": value}}, r"added_tokens\.json has the id") for value in (-1, None, 1.5, True, [7], 2**40)),
        ({"added_tokens": {"<new>": 7, "<newer>": 8, "<old>": 7}}, r"added_tokens\.json gives the id 7 to several tokens"),
        ({"tokenizer_config": {"added_tokens_decoder": ["<new>"]}}, "added_tokens_decoder must map ids to tokens"),
        ({"tokenizer_config": {"added_tokens_decoder": {"5": "a"}}}, "added_tokens_decoder must map ids to tokens"),
        ({"tokenizer_config": {"added_tokens_decoder": {"x": {"content": "a"}}}}, "has the id 'x'"),
        ({"tokenizer_config": {"added_tokens_decoder": {"5": {"content": 5}}}}, "content must be a string, not int"),
        ({"tokenizer_config": {"mask_token": {}}}, r"tokenizer_config\.json has a token that cannot be read, \{\}"),
        ({"tokenizer_config": {"mask_token": {"content": "[MASK]", "lstrip": "x"}}}, "lstrip must be True or False"),
        ({"tokenizer_config": {"cls_token": ["a"]}}, r"tokenizer_config\.json has a token that cannot be read"),
        ({"tokenizer_config": {"additional_special_tokens": "x"}}, "additional_special_tokens must be a list"),
        ({"tokenizer_config": {"do_lower_case": "yes"}}, "do_lower_case must be True or False"),
        ({"tokenizer_config": {"model_max_length": "512"}}, "model_max_length must be an integer, not '512'"),
        ({"tokenizer_config": {"padding_side": "up"}}, "padding_side must be 'right' or 'left', not 'up'"),
        ({"tokenizer_config": b'{"pad_token": "\\ud800"}'}, "pad_token has a lone surrogate"),
        ({"special_tokens_map": {"mask_token": 5}}, r"special_tokens_map\.json has a token that cannot be read, 5"),
        ({"special_tokens_map": {"additional_special_tokens": [5]}}, r"special_tokens_map\.json has a token that cannot be read"),
        ({"tokenizer": {"added_tokens": 5}}, r"tokenizer\.json: added_tokens must be a list"),
        ({"tokenizer": {"added_tokens": [{"id": 7}]}}, r"tokenizer\.json has a token that cannot be read"),
    ],
)
def test_settings_that_would_be_misread_are_refused(kind, tmp_path, files, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        kind.from_pretrained(folder_with(tmp_path, **files))
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("model", {"type": "BPE", "vocab": {}, "merges": []}, "model must be of the type WordPiece"),
        ("model", {"type": "Unigram", "vocab": []}, "model must be of the type WordPiece"),
        ("model", None, "model"),
        ("normalizer", None, "normalizer"),
        ("pre_tokenizer", {"type": "ByteLevel"}, "pre_tokenizer must be of the type BertPreTokenizer"),
        ("decoder", None, "decoder"),
        ("post_processor", None, "post_processor"),
        ("version", "9", "version"),
    ],
)
def test_a_tokenizer_json_of_another_kind_is_refused(tmp_path, section, value, message):
    ConvBertTokenizerFast(VOCABULARY).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {section: value}), encoding="utf-8")
    for call in (lambda: ConvBertTokenizerFast.from_pretrained(tmp_path), lambda: ConvBertTokenizerFast(tokenizer_file=path)):
        with pytest.raises(ValueError, match=rf"tokenizer\.json: .*{message}"):
            call()
    assert ConvBertTokenizerFast.from_pretrained(tmp_path, from_slow=True).tokenize("The king") == ["the", "king"]
    with pytest.raises(FileNotFoundError, match=r"no tokenizer file .*absent.json"):
        ConvBertTokenizerFast(VOCABULARY, tokenizer_file=tmp_path / "absent.json")
    with pytest.raises(IsADirectoryError, match="tokenizer_file must be a file"):
        ConvBertTokenizerFast(VOCABULARY, tokenizer_file=tmp_path)


# ---- saving


@pytest.mark.parametrize("prefix", ["a/b", "../up", "/abs", "a\\b", "\0", 5, True, b"x", SURROGATE, ["a"]], ids=shown)
def test_a_prefix_is_the_beginning_of_a_file_name(tiny, tmp_path, prefix):
    for call in (tiny.save_pretrained, tiny.save_vocabulary):
        with pytest.raises((TypeError, ValueError), match=r"^filename_prefix (must be|has)"):
            call(tmp_path, filename_prefix=prefix)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_saved(tiny, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"save_directory must be a folder, .*file is a file"):
        tiny.save_pretrained(file)
    for path in (file, tmp_path / "absent"):
        with pytest.raises(NotADirectoryError, match="save_directory must be a folder that exists"):
            tiny.save_vocabulary(path)
    assert file.read_text() == "mine" and os.listdir(tmp_path) == ["file"]
    with pytest.raises(TypeError, match="legacy_format must be True or False"):
        tiny.save_pretrained(tmp_path / "new", legacy_format="x")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="legacy_format=False needs ConvBertTokenizerFast"):
        ConvBertTokenizer(VOCABULARY).save_pretrained(tmp_path / "new", legacy_format=False)
    assert not (tmp_path / "new").exists()


def test_a_read_only_folder_stays_as_it_is(tiny, tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path))  # as root may write everywhere, it is told so here

    monkeypatch.setattr(tempfile, "mkstemp", denied)
    for call in (tiny.save_pretrained, tiny.save_vocabulary):
        with pytest.raises(PermissionError, match="Permission denied"):
            call(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_whole_files_only(tiny, tmp_path, monkeypatch):
    tiny.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tiny.add_tokens(["new"])
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("no space left on device")))
    for call in (tiny.save_pretrained, tiny.save_vocabulary):
        with pytest.raises(OSError, match="no space left"):
            call(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_saving_over_another_tokenizer_leaves_nothing_of_it_behind(tiny, tmp_path):
    other = type(tiny)(VOCABULARY, do_lower_case=False, model_max_length=9)
    other.save_pretrained(tmp_path)
    tiny.save_pretrained(tmp_path)
    tiny.save_pretrained(tmp_path)
    again = type(tiny).from_pretrained(tmp_path)
    assert again.get_vocab() == tiny.get_vocab() and again.do_lower_case and again.model_max_length == int(1e30)
