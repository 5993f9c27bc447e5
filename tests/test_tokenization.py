"""The tokenizer: against the recorded slow class of transformers 4.37.2, its files, and what it refuses."""

import hashlib
import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbert_np.tokenization import ConvBertTokenizer
from convbert_np.tokenization.basic import basic_words, lower_case, strip_accents
from convbert_np.tokenization.vocabulary import load_vocabulary
from convbert_np.tokenization.wordpiece import join_pieces, wordpiece

TESTS = Path(__file__).parent
TINY = TESTS.parent / "convbert_np" / "data" / "tiny"
GOLDEN = json.loads((TESTS / "golden" / "tokenizer.json").read_text(encoding="utf-8"))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SURROGATE = "a\ud800b"


@pytest.fixture(scope="module")
def tiny() -> ConvBertTokenizer:
    return ConvBertTokenizer.from_pretrained(TINY)


@pytest.fixture(scope="module")
def characters(tmp_path_factory) -> Path:
    """A folder with the vocabulary of single characters, for which the golden tokens were recorded."""
    folder = tmp_path_factory.mktemp("characters")
    tokens = [*GOLDEN["special"], *GOLDEN["characters"], *("##" + c for c in GOLDEN["characters"])]
    (folder / "vocab.txt").write_text("".join(t + "\n" for t in tokens), encoding="utf-8", newline="\n")
    return folder


def folder_with(folder: Path, *tokens: str, **files: object) -> Path:
    """A folder with a vocab.txt of the special tokens and `tokens`, and JSON files."""
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *tokens]), encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


# ---- recorded answers of the reference


@pytest.mark.parametrize("mode", GOLDEN["modes"])
def test_tokens_are_the_reference_s(characters, mode):
    tokenizer = ConvBertTokenizer.from_pretrained(characters, **GOLDEN["modes"][mode])
    for text, expected in zip(GOLDEN["texts"], GOLDEN["tokens"][mode], strict=True):
        assert " ".join(tokenizer.tokenize(text)) == expected, ascii(text)


def test_ids_with_the_bundled_vocabulary_are_the_reference_s(tiny):
    recorded_for = "tests/golden/tokenizer.json was recorded for another vocabulary: run make_tokenizer.py"
    assert hashlib.sha256((TINY / "vocab.txt").read_bytes()).hexdigest() == GOLDEN["bundled_sha256"], recorded_for
    for text, expected in zip(GOLDEN["texts"], GOLDEN["ids"], strict=True):
        assert tiny(text).input_ids == expected, ascii(text)


def test_pairs_padding_and_truncation_are_the_reference_s(tiny):
    for case in GOLDEN["encodings"]:
        encoding = tiny(case["text"], case["text_pair"], **case["settings"])
        assert encoding == case["encoding"], case
        if case["settings"].get("padding") is True:
            arrays = tiny(case["text"], case["text_pair"], return_tensors="np", **case["settings"])
            for name, array in arrays.items():
                assert array.dtype == np.int64 and array.ndim == 2
                assert array.tolist() == (encoding[name] if isinstance(case["text"], list) else [encoding[name]])


def test_decoded_text_is_the_reference_s(tiny):
    for case in GOLDEN["decodings"]:
        for ids in (case["ids"], tuple(case["ids"]), np.array(case["ids"], np.int32)):
            assert tiny.decode(ids, case["skip"], case["clean"]) == case["text"], case


def test_golden_texts_hold_no_unassigned_character_that_a_newer_python_may_know():
    unassigned = {c for text in GOLDEN["texts"] for c in text if unicodedata.category(c) == "Cn"}
    assert unassigned == {"\ufdd0", "\uffff", "\U0010ffff"}, "only those that will never be assigned"


# ---- the parts


def test_lower_casing_looks_at_one_character_at_a_time():
    assert lower_case("\u039f\u0394\u039f\u03a3") == "\u03bf\u03b4\u03bf\u03c3" != "\u039f\u0394\u039f\u03a3".lower()


def test_accents_are_stripped_and_other_marks_stay():
    assert strip_accents("\u00e9\u0301\u0903") == "e\u0903"


def test_a_word_that_is_never_split_keeps_case_and_punctuation():
    assert basic_words("[X] \u00e9[X]", True, never_split=["[X]"]) == ["[X]", "e", "[", "X", "]"]


def test_a_word_that_is_never_split_keeps_its_accents():
    assert basic_words("\u00e9 \u00e9s", True, never_split=["\u00e9"]) == ["\u00e9", "es"]


def test_joined_pieces_have_no_space_at_either_end():
    assert join_pieces(["", "the", "##s", ""]) == "thes" and join_pieces(["##the"]) == "##the"


def test_wordpiece_takes_the_longest_piece_first():
    vocabulary = {"un", "u", "una", "##aff", "##able", "##f"}
    assert wordpiece("unaffable", vocabulary, "?") == ["una", "##f", "##f", "##able"]
    assert wordpiece("unaffable", vocabulary | {"##ff"}, "?") == ["una", "##ff", "##able"]
    assert wordpiece("unaffables", vocabulary, "?") == ["?"], "greedy: no way back, and all or nothing"
    assert wordpiece("xun", vocabulary, "?") == ["?"]
    assert wordpiece("uun", vocabulary, "?") == ["?"], "a piece inside a word must have ##"


def test_a_word_of_more_than_100_characters_is_unknown():
    assert wordpiece("a" * 100, {"a", "##a"}, "?") == ["a"] + ["##a"] * 99
    assert wordpiece("a" * 101, {"a", "##a"}, "?") == ["?"]
    assert wordpiece("abc", {"abc"}, "?", max_characters=2) == ["?"]


def test_special_tokens_are_found_glued_to_words_and_only_in_their_own_case(tiny):
    assert tiny.tokenize("the[MASK]king") == ["the", "[MASK]", "king"]
    assert tiny.tokenize("[MASK][SEP] [mask]")[:3] == ["[MASK]", "[SEP]", "["]


def test_the_longest_special_token_wins(tmp_path):
    folder = folder_with(tmp_path, "<s>", "<s>X", "x")
    tokenizer = ConvBertTokenizer.from_pretrained(folder, sep_token="<s>", mask_token="<s>X", do_lower_case=False)
    assert tokenizer.tokenize("<s>X<s>") == ["<s>X", "<s>"]


def test_tokens_and_ids_are_converted_one_or_many(tiny):
    assert tiny.convert_tokens_to_ids("[MASK]") == tiny.mask_token_id == 4
    assert tiny.convert_tokens_to_ids(["the", "no such token"]) == [tiny.vocab["the"], tiny.unk_token_id]
    assert tiny.convert_ids_to_tokens(np.int64(4)) == tiny.convert_ids_to_tokens(4) == "[MASK]"
    assert tiny.convert_ids_to_tokens([0, tiny.vocab["the"], 99999], skip_special_tokens=True) == [
        "the",
        "[UNK]",
    ]
    assert tiny.decode(tiny.vocab["the"]) == "the"
    assert tiny.decode([]) == ""


def test_attributes_of_the_special_tokens(tiny):
    names = ("pad", "unk", "cls", "sep", "mask")
    assert [getattr(tiny, f"{name}_token") for name in names] == SPECIAL
    assert [getattr(tiny, f"{name}_token_id") for name in names] == [0, 1, 2, 3, 4]
    assert sorted(tiny.all_special_ids) == [0, 1, 2, 3, 4] and sorted(tiny.all_special_tokens) == sorted(SPECIAL)
    assert len(tiny) == tiny.vocab_size == len(tiny.get_vocab()) == 1200


def test_one_text_gives_lists_and_many_give_lists_of_lists(tiny):
    one, many = tiny("the king"), tiny(["the king", "love"])
    assert many.input_ids == [one.input_ids, tiny("love").input_ids]
    assert list(one) == ["input_ids", "token_type_ids", "attention_mask"]
    assert tiny("the king", return_tensors="np").input_ids.tolist() == [one.input_ids]
    assert tiny(("the king",)).input_ids == [one.input_ids]
    with pytest.raises(AttributeError, match="no 'labels', only input_ids"):
        _ = one.labels


def test_a_row_can_be_cut_to_its_special_tokens(tiny):
    assert tiny("the king", truncation=True, max_length=2).input_ids == [2, 3]
    assert tiny("the king", "love", truncation=True, max_length=3).input_ids == [2, 3, 3]


def test_model_max_length_serves_where_max_length_is_not_given():
    tokenizer = ConvBertTokenizer(TINY / "vocab.txt", model_max_length=6)
    assert len(tokenizer("the king " * 10, truncation=True).input_ids) == 6
    assert len(tokenizer("the", padding="max_length").input_ids) == 6
    assert len(tokenizer("the king " * 10, truncation=True, max_length=7).input_ids) == 7
    assert len(tokenizer("the king " * 10).input_ids) == 22


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_any_text_gives_tokens_of_the_vocabulary(text):
    tokenizer = ConvBertTokenizer(TINY / "vocab.txt")
    tokens = tokenizer.tokenize(text)
    assert set(tokens) <= set(tokenizer.vocab)
    assert tokenizer.convert_ids_to_tokens(tokenizer.convert_tokens_to_ids(tokens)) == tokens


def test_known_words_survive_the_way_there_and_back(tiny):
    words = [token for token in tiny.vocab if token.isalpha() and len(token) > 2]
    for seed in range(50):
        text = " ".join(random.Random(seed).choices(words, k=12))
        assert tiny.decode(tiny(text).input_ids, skip_special_tokens=True) == text


# ---- vocabularies


def test_the_bundled_vocabulary(tiny):
    lines = (TINY / "vocab.txt").read_bytes().decode("ascii").split("\n")
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
    assert load_vocabulary(path) == load_vocabulary(str(path)) == expected
    path.write_bytes(ending.join(tokens) + ending)
    assert load_vocabulary(path) == expected


def test_ids_are_line_numbers_and_the_last_of_equal_lines_counts(tmp_path):
    tokenizer = ConvBertTokenizer.from_pretrained(folder_with(tmp_path, "the", "king", "the", "queen"))
    assert tokenizer.convert_tokens_to_ids(["king", "the", "queen"]) == [6, 7, 8]
    assert len(tokenizer) == tokenizer.vocab_size == 8
    assert tokenizer.convert_ids_to_tokens([5, 7]) == ["[UNK]", "the"]


def test_a_vocabulary_file_that_cannot_be_used(tmp_path):
    path = tmp_path / "vocab.txt"
    with pytest.raises(FileNotFoundError, match=r"no vocabulary file .*vocab\.txt"):
        ConvBertTokenizer(path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        ConvBertTokenizer.from_pretrained(tmp_path / "absent")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"vocab\.txt is empty"):
        ConvBertTokenizer(path)
    path.write_bytes(b"[PAD]\n\xff\n")
    with pytest.raises(ValueError, match=r"vocab\.txt is not UTF-8"):
        ConvBertTokenizer(path)
    path.write_text("[PAD]\n[UNK]\n[SEP]\nthe\n")
    with pytest.raises(ValueError, match=r"vocab.txt lacks \[CLS\], \[MASK\]"):
        ConvBertTokenizer(path)
    with pytest.raises(ValueError, match=r"lacks <mask>$"):
        ConvBertTokenizer(TINY / "vocab.txt", mask_token="<mask>")


# ---- tokenizer_config.json and its neighbours


def test_settings_come_from_tokenizer_config(tmp_path):
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
    tokenizer = ConvBertTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("T\u00e9<mask>\u4e00\u4e01") == ["Te", "<mask>", "\u4e00\u4e01"]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.model_max_length) == (6, 5, 512)
    assert ConvBertTokenizer.from_pretrained(folder, do_lower_case=True).tokenize("TE") == ["te"]


def test_special_tokens_map_goes_before_the_config_unless_that_lists_added_tokens(tmp_path):
    files: dict = {"special_tokens_map": {"mask_token": "<m>"}, "tokenizer_config": {"mask_token": "[MASK]"}}
    folder = folder_with(tmp_path, "<m>", **files)
    assert ConvBertTokenizer.from_pretrained(folder).mask_token == "<m>"
    files["tokenizer_config"]["added_tokens_decoder"] = {"4": {"content": "[MASK]"}}
    assert ConvBertTokenizer.from_pretrained(folder_with(folder, "<m>", **files)).mask_token == "[MASK]"


def test_no_limit_is_written_as_a_huge_number(tmp_path):
    folder = folder_with(tmp_path, tokenizer_config={"model_max_length": int(1e30), "strip_accents": None})
    assert ConvBertTokenizer.from_pretrained(folder).model_max_length is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config": []}, "tokenizer_config.json must hold a JSON object, not list"),
        ({"added_tokens": {"<new>": 1200}}, "adds tokens.*<new>"),
        ({"tokenizer_config": {"added_tokens_decoder": {"5": {"content": "<new>"}}}}, "adds tokens.*<new>"),
        ({"tokenizer_config": {"added_tokens_decoder": ["<new>"]}}, "wrong type"),
        ({"tokenizer_config": {"additional_special_tokens": ["<new>"]}}, "adds tokens.*<new>"),
        ({"special_tokens_map": {"additional_special_tokens": [{"content": "<new>"}]}}, "adds tokens.*<new>"),
        ({"special_tokens_map": {"bos_token": "<new>"}}, "adds tokens.*<new>"),
        ({"tokenizer_config": {"never_split": ["the"]}}, "never_split to"),
        ({"tokenizer_config": {"do_basic_tokenize": False}}, "do_basic_tokenize to False"),
        ({"tokenizer_config": {"mask_token": {"content": "[MASK]", "single_word": True}}}, "single_word"),
        ({"tokenizer_config": {"mask_token": None}}, "mask_token must be a string, not None"),
        ({"tokenizer_config": {"mask_token": {}}}, "mask_token must be a string, not None"),
        ({"tokenizer_config": {"cls_token": ["a"]}}, "cls_token must be a string"),
        ({"tokenizer_config": {"do_lower_case": "yes"}}, "do_lower_case must be True or False"),
    ],
)
def test_settings_that_would_be_misread_are_refused(tmp_path, files, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ConvBertTokenizer.from_pretrained(folder_with(tmp_path, **files))


def test_a_config_that_is_no_json_is_refused(tmp_path):
    folder = folder_with(tmp_path)
    for text in ("{", "[" * 100_000, "\ufeff{}"):
        (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"tokenizer_config\.json is not valid JSON"):
            ConvBertTokenizer.from_pretrained(folder)


# ---- bad arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"text": None}, TypeError, "text must be a string or a list of strings, not NoneType"),
        ({"text": 3}, TypeError, "text must be .* not int"),
        ({"text": b"x"}, TypeError, "text must be .* not bytes"),
        ({"text": ["a", None]}, TypeError, r"text\[1\] must be a string, not NoneType"),
        ({"text": ["a", ["b"]]}, TypeError, r"text\[1\] must be a string, not list"),
        ({"text": []}, ValueError, "text is an empty batch"),
        ({"text": SURROGATE}, ValueError, r"text has a lone surrogate, '\\ud800' at index 1"),
        ({"text": ["a", SURROGATE]}, ValueError, r"text\[1\] has a lone surrogate"),
        ({"text": "a", "text_pair": SURROGATE}, ValueError, "text_pair has a lone surrogate"),
        ({"text": "a", "text_pair": ["b"]}, TypeError, "both strings or both lists"),
        ({"text": ["a"], "text_pair": "b"}, TypeError, "both strings or both lists"),
        ({"text": ["a"], "text_pair": ["b", "c"]}, ValueError, "equally many: 1 and 2"),
        ({"text": "a", "text_pair": 1}, TypeError, "text_pair must be .* not int"),
        ({"text": "a", "padding": "left"}, ValueError, "padding must be .*longest.* not 'left'"),
        ({"text": "a", "padding": None}, ValueError, "padding must be"),
        ({"text": "a", "truncation": "only_first"}, ValueError, "truncation must be .* not 'only_first'"),
        (
            {"text": "a", "return_tensors": "pt"},
            ValueError,
            "return_tensors must be None or \"np\", not 'pt'",
        ),
        ({"text": "a", "max_length": 4}, ValueError, "max_length has no effect"),
        ({"text": "a", "truncation": True}, ValueError, "max_length must be given"),
        ({"text": "a", "padding": "max_length"}, ValueError, "max_length must be given"),
        (
            {"text": "a", "truncation": True, "max_length": 1},
            ValueError,
            "max_length must be at least 2, not 1",
        ),
        ({"text": "a", "text_pair": "b", "truncation": True, "max_length": 2}, ValueError, "at least 3"),
        ({"text": "a", "truncation": True, "max_length": 4.0}, TypeError, "max_length must be an integer"),
        ({"text": "a", "truncation": True, "max_length": True}, TypeError, "max_length must be an integer"),
        ({"text": ["a", "a a"], "return_tensors": "np"}, ValueError, "pass padding=True"),
    ],
)
def test_a_bad_argument_of_a_call_is_named(tiny, arguments, error, message):
    with pytest.raises(error, match=message):
        tiny(**arguments)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"do_lower_case": None}, TypeError, "do_lower_case must be True or False"),
        ({"strip_accents": 1}, TypeError, "strip_accents must be True or False"),
        ({"tokenize_chinese_chars": "no"}, TypeError, "tokenize_chinese_chars must be True or False"),
        ({"mask_token": None}, TypeError, "mask_token must be a string"),
        ({"pad_token": ""}, ValueError, "pad_token must not be empty"),
        ({"model_max_length": 0}, ValueError, "model_max_length must be at least 1"),
        ({"model_max_length": "512"}, TypeError, "model_max_length must be an integer"),
    ],
)
def test_a_bad_setting_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        ConvBertTokenizer(TINY / "vocab.txt", **settings)


def test_bad_texts_tokens_and_ids_are_named(tiny):
    for call, argument, error in (
        (tiny.tokenize, None, "text must be a string, not NoneType"),
        (tiny.tokenize, ["a"], "text must be a string, not list"),
        (tiny.convert_tokens_to_ids, None, "tokens must be .* not NoneType"),
        (tiny.convert_tokens_to_ids, ["a", 1], r"tokens\[1\] must be a string, not int"),
        (tiny.convert_ids_to_tokens, [1.5], r"ids must be an integer or a sequence of integers, not \[1.5\]"),
        (tiny.convert_ids_to_tokens, "12", "ids must be"),
        (tiny.convert_ids_to_tokens, True, "ids must be"),
        (tiny.decode, None, "token_ids must be"),
        (tiny.decode, [[1, 2]], "token_ids must be"),
        (tiny.decode, np.ones((1, 2), int), r"token_ids must be one row .* shape \(1, 2\)"),
        (tiny.decode, np.ones(2), "token_ids must be"),
    ):
        with pytest.raises(TypeError, match=error):
            call(argument)
    with pytest.raises(ValueError, match="text has a lone surrogate"):
        tiny.tokenize(SURROGATE)


def test_a_saved_tokenizer_is_the_same(tmp_path):
    source = tmp_path / "vocab.txt"
    source.write_bytes(b"[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nthe\r\nThe\r\nthe\r\n")
    tokenizer = ConvBertTokenizer(source, do_lower_case=False, strip_accents=True, model_max_length=7)
    tokenizer.save_pretrained(tmp_path / "saved")
    again = ConvBertTokenizer.from_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "vocab.txt").read_bytes() == source.read_bytes()
    assert again.vocab == tokenizer.vocab and again.model_max_length == 7 and again.strip_accents is True
    assert again("The the [MASK]") == tokenizer("The the [MASK]") and "do_lower_case=False" in repr(again)
