"""Every other method and attribute of both tokenizers, and of what they return, against transformers 4.37.2."""

import inspect
import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import tokenizer_cases as cases
from tokenizer_compare import Differences

pytestmark = pytest.mark.parity
NO_LIMIT = int(1e30)


FIRST, SECOND = [7, 8, 9], [10, 11]
TEXT = "The king's [MASK] caf\u00e9, \u6771 xyzzy"
METHODS = [
    *(("build_inputs_with_special_tokens", row) for row in ((FIRST,), (FIRST, SECOND), ([], []), ([],), (None,), (FIRST, None))),
    *(("create_token_type_ids_from_sequences", row) for row in ((FIRST,), (FIRST, SECOND), ([], []), ([], None))),
    *(
        ("get_special_tokens_mask", row)
        for row in ((FIRST,), (FIRST, SECOND), ([2, 7, 3], None, True), (FIRST, SECOND, True), ([4], None))
    ),
    *(("num_special_tokens_to_add", row) for row in ((), (True,), (False,))),
    *(
        ("convert_tokens_to_ids", (value,))
        for value in ("the", "no such", ["the", "[MASK]", "zzz"], [], None, "[MASK]", ("the",), [["the"]])
    ),
    *(
        ("convert_ids_to_tokens", (value,))
        for value in (5, 4, [5, 4, 0], [], 10**6, [10**6], -1, "5", ["5"], None, 1.5, np.int64(5))
    ),
    *(("convert_ids_to_tokens", (value, True)) for value in (4, [5, 4, 0, 7], np.array([5, 4, 0]), (4, 5))),
    *(
        ("convert_tokens_to_string", (value,))
        for value in (["the", "##s", ".", "king"], [], ["##x"], ["a", "##", "b"], ["a ", " ##b"])
    ),
    *(
        ("decode", row)
        for row in (
            (5,),
            ([5, 6, 7],),
            ([],),
            (np.array([5, 2, 7]), True),
            (np.int64(9),),
            ([[5]],),
            (None,),
            ([10**6],),
            ([-1],),
        )
    ),
    *(("decode", (value, True, False)) for value in ([2, 50, 60, 3], [0, 0], [4])),
    *(("batch_decode", (value,)) for value in ([[5, 6], [7]], [[]], [], np.array([[5, 6], [7, 8]]), [5, 6])),
    *(("tokenize", (value,)) for value in (TEXT, "", " ", None, ["a"], 5)),
    *(("encode", row) for row in ((TEXT,), (TEXT, "a b"), ("",), (["the", "king"],), ([5, 6],), (None,))),
    *(
        ("encode_plus", row)
        for row in ((TEXT,), (TEXT, "a b"), (["the", "king"],), ([5, 6],), ([5, 6], [7]), (TEXT, None, False))
    ),
    *(
        ("batch_encode_plus", (value,))
        for value in ([TEXT], [("a", "b"), ("c", "d e")], ["a", "b c"], [], [[5, 6], [7]], TEXT, (TEXT, "a"))
    ),
    *(("clean_up_tokenization", (value,)) for value in ("a . b ? c ! d , e", "do n't ' x 'm 's 've 're", "")),
    *((name, ()) for name in ("get_vocab", "get_added_vocab", "__len__", "sanitize_special_tokens")),
]
KEYWORDS = [
    ("tokenize", (TEXT,), {"add_special_tokens": True}),
    ("tokenize", (TEXT,), {"pair": "a b", "add_special_tokens": True}),
    ("tokenize", (TEXT,), {"pair": "a b"}),
    ("encode", (TEXT, None, False), {}),
    ("encode", (TEXT, "a b", True, "max_length", "only_first", 8, 0, "np"), {"return_token_type_ids": True}),
    ("encode", (TEXT,), {"add_special_tokens": False}),
    ("encode", (TEXT,), {"max_length": 5, "truncation": True}),
    ("encode", (TEXT,), {"max_length": 30, "padding": "max_length"}),
    ("encode", (TEXT,), {"return_tensors": "np"}),
    ("encode_plus", (TEXT,), {"max_length": 4, "truncation": "only_first", "return_overflowing_tokens": True, "stride": 1}),
    ("encode_plus", (["the king", "a"],), {"is_split_into_words": True}),
    ("batch_encode_plus", ([["the king", "a"], ["b"]],), {"is_split_into_words": True, "padding": True, "return_tensors": "np"}),
    (
        "batch_encode_plus",
        ([TEXT, "a"],),
        {"max_length": 4, "truncation": True, "return_overflowing_tokens": True, "return_length": True},
    ),
    ("decode", ([5, 6, 2],), {"spaces_between_special_tokens": False}),
    ("build_inputs_with_special_tokens", (), {"token_ids_0": FIRST, "token_ids_1": SECOND}),
    ("get_special_tokens_mask", (), {"token_ids_0": [2, 5, 3], "already_has_special_tokens": True}),
]
ATTRIBUTES = [
    "is_fast", "vocab_size", "model_max_length", "padding_side", "truncation_side", "pad_token_type_id",
    "max_len_single_sentence", "max_len_sentences_pair", "model_input_names", "vocab_files_names", "all_special_tokens",
    "all_special_ids", "special_tokens_map", "all_special_tokens_extended", "special_tokens_map_extended",
    "additional_special_tokens", "additional_special_tokens_ids", "added_tokens_encoder", "added_tokens_decoder",
    "clean_up_tokenization_spaces", "vocab", "do_lower_case", "verbose", "ids_to_tokens", "no_such_attribute",
    *(f"{slot}{suffix}" for slot in cases.SLOTS for suffix in ("", "_id")),
]  # fmt: skip


@pytest.mark.parametrize("case", [*((*case, {}) for case in METHODS), *KEYWORDS], ids=lambda case: ascii(case)[:70])
def test_methods(sides, tokenizers, case):
    name, arguments, keywords = case
    pair = tokenizers.get("tiny", model_max_length=NO_LIMIT)
    differences = Differences(sides.kind)
    differences.ask(case, pair, name, *arguments, **keywords)
    differences.assert_none()


ABSENT = {  # what the reference has and we have not; docs/deviations.md says so
    "both": {
        "SPECIAL_TOKENS_ATTRIBUTES", "apply_chat_template", "as_target_tokenizer", "convert_added_tokens",
        "default_chat_template", "deprecation_warnings", "init_inputs", "max_model_input_sizes", "prepare_seq2seq_batch",
        "pretrained_init_configuration", "pretrained_vocab_files_map", "push_to_hub", "register_for_auto_class",
        "slow_tokenizer_class",
    },
    "slow": {"basic_tokenizer", "prepare_for_tokenization", "tokens_trie", "wordpiece_tokenizer"},
    "fast": {"backend_tokenizer", "can_save_slow_tokenizer", "decoder", "set_truncation_and_padding", "train_new_from_iterator"},
    "encoding": {"to"},
}  # fmt: skip
RENAMED = {"pretrained_model_name_or_path": "name_or_path"}


def public(value: Any) -> dict[str, Any]:
    """The public attributes by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: getattr(value, name, None) for name in dir(value) if not name.startswith("_")}


def positional(function: Any) -> list[str]:
    """The names of the arguments that may be given by position, in their order."""
    parameters = inspect.signature(function).parameters.values()
    return [RENAMED.get(one.name, one.name) for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]


def check_interface(ours: Any, theirs: Any, absent: set[str]) -> None:
    """No other name is missing, and what is given by position means the same on both sides."""
    own, reference = public(ours), public(theirs)
    assert reference.keys() - own.keys() == absent
    for name in reference.keys() & own.keys():
        if inspect.ismethod(reference[name]) and inspect.ismethod(own[name]):
            pairs = zip(positional(own[name]), positional(reference[name]), strict=False)
            assert [pair for pair in pairs if pair[0] != pair[1]] == [], name


def test_nothing_else_is_missing(sides, tokenizers):
    ours, theirs = tokenizers.get("tiny")
    check_interface(ours, theirs, ABSENT["both"] | ABSENT[sides.kind])
    check_interface(ours("the"), theirs("the"), ABSENT["encoding"])
    for own, reference in ((ours, theirs), (ours("the"), theirs("the"))):
        pairs = zip(positional(type(own)), positional(type(reference)), strict=False)
        assert [pair for pair in pairs if pair[0] != pair[1]] == [], type(own)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes(sides, tokenizers, name):
    differences = Differences(sides.kind)
    for options in ({}, {"model_max_length": 64, "padding_side": "left"}, {"do_lower_case": False}, {"bos_token": "the"}):
        differences.look((name, options), tokenizers.get("tiny", **options), name)
    differences.assert_none()


# ---- BatchEncoding

INDICES = [
    (),
    *((index,) for index in range(-3, 9)),
    *itertools.product((-1, 0, 1, 2), (-2, 0, 1, 3, 8)),
    *itertools.product((0, 1), (0, 2, 3), (0, 1)),
]
LOOKUPS = {
    "tokens": INDICES, "word_ids": INDICES, "words": INDICES, "sequence_ids": INDICES, "token_to_sequence": INDICES,
    "token_to_word": INDICES, "word_to_tokens": INDICES, "token_to_chars": INDICES, "char_to_token": INDICES,
    "word_to_chars": INDICES, "char_to_word": INDICES, "keys": [()], "values": [()], "items": [()], "__len__": [()],
    "__getitem__": [("input_ids",), ("missing",), (slice(0, 1),)], "__contains__": [("input_ids",), ("missing",)],
}  # fmt: skip
ENCODING_FIELDS = (
    "ids", "type_ids", "tokens", "offsets", "attention_mask", "special_tokens_mask", "word_ids", "sequence_ids", "n_sequences",
)  # fmt: skip
INPUTS = [
    {"text": TEXT},
    {"text": TEXT, "text_pair": "don't\u0301 [MASK]  stop"},
    {"text": [TEXT, "a b", ""], "text_pair": ["x y z", "", "O\u0301 love"], "padding": True},
    {"text": ["the king", "x-y", "", "sat"], "is_split_into_words": True},
    {"text": [["the king", "x-y"], ["a"]], "text_pair": [["b c"], ["d", "e!"]], "is_split_into_words": True, "padding": True},
    {"text": [TEXT, "a b c d e f g h"], "truncation": True, "max_length": 6, "stride": 2, "return_overflowing_tokens": True},
    {"text": ["", " "], "add_special_tokens": False},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(INPUTS)))
def test_the_methods_of_a_batch_encoding(sides, tokenizers, number):
    differences = Differences(sides.kind)
    pair = [one(**INPUTS[number]) for one in tokenizers.get("tiny")]
    for name, indices in LOOKUPS.items():
        for index in indices:
            differences.ask((INPUTS[number], name, index), pair, name, *index)
    for name in ("is_fast", "n_sequences", "data", "input_ids", "missing"):
        differences.look((INPUTS[number], name), pair, name)
    for tensors in (None, "bad", "np"):  # in place, so it comes last
        differences.ask((INPUTS[number], "convert_to_tensors", tensors), pair, "convert_to_tensors", tensors)
    differences.assert_none()


@pytest.mark.parametrize("number", range(len(INPUTS)))
def test_the_encodings_of_a_batch(sides, tokenizers, number):
    differences = Differences(sides.kind)
    pair = [one(**INPUTS[number]) for one in tokenizers.get("tiny")]
    differences.check((INPUTS[number], "encodings"), *(None if one.encodings is None else len(one.encodings) for one in pair))
    for index, name in itertools.product(range(len(pair[1].encodings or ())), ENCODING_FIELDS):
        case = (INPUTS[number], index, name)
        differences.look(case, [one[index] for one in pair], name)
        differences.check((*case, "overflowing"), *([getattr(rest, name) for rest in one[index].overflowing] for one in pair))
    differences.assert_none()
