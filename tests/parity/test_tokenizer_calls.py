"""Calls of both tokenizers against transformers 4.37.2: padding, truncation, strides, pairs."""

import itertools
import random

import numpy as np
import pytest
import tokenizer_cases as cases
from tokenizer_compare import Differences, Tokenizers, outcome, sides_of

pytestmark = pytest.mark.parity
NO_LIMIT = int(1e30)
STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")


# ---- __call__


def compare_call(differences, pair, call) -> None:
    """Set the attributes of a call on both tokenizers and compare the answers."""
    for tokenizer in pair:
        for name, value in call.attributes.items():
            setattr(tokenizer, name, value)
    differences.check(call, *(outcome(tokenizer, **call.arguments) for tokenizer in pair))


@pytest.mark.parametrize("truncation", cases.TRUNCATIONS, ids=str)
@pytest.mark.parametrize("padding", cases.PADDINGS, ids=str)
def test_every_combination_of_arguments(sides, tokenizers, padding, truncation):
    differences = Differences(sides.kind)
    pair = tokenizers.get("tiny")
    for call in cases.calls(sides.kind, padding, truncation):
        compare_call(differences, pair, call)
    differences.assert_none()


UNUSUAL = [
    {"text": "a", "padding": "bad"},
    {"text": "a", "truncation": "bad"},
    {"text": "a", "padding": True, "max_length": 5},
    {"text": "a", "padding": "max_length"},
    {"text": "a", "truncation": True, "max_length": 6, "padding": True, "pad_to_multiple_of": 4},
    {"text": "a b c d", "truncation": True, "max_length": 8, "padding": True, "pad_to_multiple_of": 4},
    {"text": None},
    {"text": 1},
    {"text": b"the"},
    {"text": ["a", None]},
    {"text": ["a", 1]},
    {"text": [["a"], "b"], "is_split_into_words": True},
    {"text": [[1, 2]]},
    {"text": []},
    {"text": [], "is_split_into_words": True},
    {"text": [[]], "is_split_into_words": True},
    {"text": ["a"], "text_pair": "b"},
    {"text": "a", "text_pair": ["b"]},
    {"text": ["a", "b"], "text_pair": ["b"]},
    {"text": "a", "return_tensors": "bad"},
    {"text": ["a", "a b"], "return_tensors": "np"},
    {"text": "a b c d", "truncation": True, "max_length": 5, "stride": 3, "return_overflowing_tokens": True},
    {"text": "a b c d", "truncation": True, "max_length": 5, "stride": 4, "return_overflowing_tokens": True},
    {"text_target": "a b"},
    {"text": "a b", "text_target": "c d"},
    {"text": "a", "text_target": "b", "text_pair_target": "c"},
    {"text": ["a", "b"], "text_target": ["c", "d e"], "padding": True},
    {},
    {"text": "a b", "return_token_type_ids": False, "return_attention_mask": False},
    {"text": ("a", "b")},
    {"text": ("a", "b"), "text_pair": ("c", "d")},
    {"text": ["a", "b"], "text_pair": ["c", "d"], "is_split_into_words": True},
    {"text": [("a", "b"), ("c", "d")], "is_split_into_words": True},
    {"text": [["a", "b"], ["c"]], "text_pair": [["a"], ["x", "y"]], "is_split_into_words": True, "padding": True},
    {"text": "a b", "verbose": False, "unknown_argument": 1},
    {"text": "a b", "pad_to_max_length": True, "max_length": 6},
    {"text": "a b", "split_special_tokens": True},
]


@pytest.mark.parametrize("arguments", UNUSUAL, ids=lambda arguments: ascii(arguments)[:60])
def test_unusual_and_wrong_calls(sides, tokenizers, arguments):
    pair = tokenizers.get("tiny")
    differences = Differences(sides.kind)
    attributes = {"padding_side": "right", "truncation_side": "right", "model_max_length": NO_LIMIT}
    compare_call(differences, pair, cases.Call(attributes, arguments))
    differences.assert_none()


# ---- the other methods that make inputs


def short_ids(generator: random.Random, tokenizer, longest: int = 12) -> list[int]:
    """A row of ids without special tokens."""
    return [generator.randrange(5, tokenizer.vocab_size) for _ in range(generator.randint(0, longest))]


@pytest.mark.parametrize("side", cases.SIDES)
def test_prepare_for_model_and_truncate_sequences(sides, tokenizers, side):
    pair = tokenizers.get("tiny")
    differences = Differences(sides.kind)
    for tokenizer in pair:
        tokenizer.padding_side, tokenizer.truncation_side, tokenizer.model_max_length = (
            side,
            cases.SIDES[side == "right"],
            NO_LIMIT,
        )
    generator = random.Random(side)
    names = ("truncation", "max_length", "stride", "padding", "return_overflowing_tokens", "add_special_tokens")
    product = itertools.product(STRATEGIES, (None, 3, 5, 9, 30), (0, 2), cases.PADDINGS, cases.BOTH, cases.BOTH)
    for values, two in itertools.product(product, cases.BOTH):
        rows = short_ids(generator, pair[1]), short_ids(generator, pair[1]) if two else None
        flags = {
            **dict(zip(names, values, strict=True)),
            **cases.random_flags(generator, "slow"),
            "return_offsets_mapping": False,
        }
        differences.ask(("prepare_for_model", rows, flags), pair, "prepare_for_model", *rows, **flags)
    for strategy, number, stride, two in itertools.product((*STRATEGIES, "bad"), (0, 1, 4, 20), (0, 1, 3), cases.BOTH):
        rows = short_ids(generator, pair[1]), short_ids(generator, pair[1]) if two else None
        case = ("truncate_sequences", rows, number, strategy, stride)
        answers = [outcome(one.truncate_sequences, *map(copied, rows), number, strategy, stride) for one in pair]
        differences.check(case, *answers)
    differences.assert_none()


@pytest.mark.parametrize("seed", range(4))
def test_pad(sides, tokenizers, seed):
    pair = tokenizers.get("tiny")
    differences = Differences(sides.kind)
    generator = random.Random(f"pad {seed}")
    for side, padding, length, multiple, mask, tensors in itertools.product(
        cases.SIDES, (*cases.PADDINGS, True), (None, 4, 20), (None, 8), (None, True, False), (None, "np")
    ):
        for tokenizer in pair:
            tokenizer.padding_side = side
        rows = [{"input_ids": short_ids(generator, pair[1])} for _ in range(generator.randint(1, 3))]
        for row in rows:
            extra = [1] * len(row["input_ids"])
            row.update(
                {name: extra for name in ("attention_mask", "token_type_ids", "special_tokens_mask")[: seed + 1]}
                if seed < 3
                else {}
            )
        batch = {name: [row[name] for row in rows] for name in rows[0]}
        arrays = [{name: np.array(values, int) for name, values in row.items()} for row in rows]
        for encoded in (rows[0], rows, batch, arrays):
            settings = {"padding": padding, "max_length": length, "pad_to_multiple_of": multiple}
            settings |= {"return_attention_mask": mask, "return_tensors": tensors}
            answers = [outcome(one.pad, copied(encoded), **settings) for one in pair]
            differences.check(("pad", side, encoded, settings), *answers)
    for wrong in ([], {}, {"token_type_ids": [1]}, [{"ids": [1]}], "abc", None, {"input_ids": []}, {"input_ids": [["a"]]}):
        differences.ask(("pad", wrong), pair, "pad", wrong)
    differences.assert_none()


def copied(encoded):
    """The same inputs in new containers, for a method may write into those it is given."""
    if isinstance(encoded, dict):
        return {name: copied(value) for name, value in encoded.items()}
    return [copied(row) for row in encoded] if isinstance(encoded, list) else encoded


# ---- the comparison itself


def test_the_comparison_sees_that_slow_and_fast_differ(tmp_path):
    crossed = sides_of("slow", "crossed")
    differences = Differences("slow")
    for call in itertools.islice(cases.calls("slow", "longest", "longest_first"), 0, None, 40):
        compare_call(differences, Tokenizers(crossed, tmp_path).get("tiny"), call)
    with pytest.raises(AssertionError, match="cases differ"):
        differences.assert_none()
