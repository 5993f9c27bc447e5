"""Added and changed special tokens, and the files of a tokenizer, against transformers 4.37.2.

A seed makes arguments of the constructor and a few additions; both sides are then asked for everything they
know and for the tokens of texts full of what was added, before and after saving and loading, also by the other
side and by the other class.
"""

import json
import random
from pathlib import Path

import pytest
import tokenizer_cases as cases
from tokenizer_compare import Differences, made, outcome, sides_of, write_vocabulary
from tokenizer_deliberate import Saved

pytestmark = pytest.mark.parity
STATE = [
    "vocab_size", "model_max_length", "padding_side", "truncation_side", "max_len_single_sentence", "model_input_names",
    "is_fast", "all_special_tokens", "all_special_ids", "all_special_tokens_extended", "special_tokens_map",
    "special_tokens_map_extended", "additional_special_tokens", "additional_special_tokens_ids", "added_tokens_encoder",
    "added_tokens_decoder", "clean_up_tokenization_spaces", "pad_token_type_id",
    *(f"{slot}{suffix}" for slot in cases.SLOTS for suffix in ("", "_id")),
]  # fmt: skip


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory) -> Path:
    extra = [
        "foo",
        "Foo",
        "FOO",
        "##bar",
        "bar",
        "<",
        ">",
        "m",
        "##m",
        "\u00e9",
        "##\u00e9",
        "\u00c9",
        "##\u00c9",
        "e",
        "##e",
        "\u6771",
        "\u4eac",
    ]
    tokens = [*cases.vocabulary_tokens("tiny"), *extra, *"THKIGNMASUN"]
    return write_vocabulary(tmp_path_factory.mktemp("added"), dict.fromkeys(tokens))


def changed(tokenizer, addition, token_class):
    """Carry out one addition: call the method of this name, or set the attribute."""
    name, value = addition
    value = made(value, token_class)
    return getattr(tokenizer, name)(*value) if name.startswith("add_") else setattr(tokenizer, name, value)


def compare_state(differences, pair, label) -> None:
    """Compare all that the tokenizers know."""
    for name in STATE:
        differences.look((label, name), pair, name)
    for name in ("get_vocab", "get_added_vocab", "__len__", "num_special_tokens_to_add"):
        differences.ask((label, name), pair, name)


def compare_use(differences, pair, label, seed) -> None:
    """Compare the tokens and ids of texts full of added tokens, and decoding."""
    texts = [*cases.addition_texts(seed, 40), *cases.random_texts(f"added {seed}", 10)]
    for text in texts:
        differences.ask((label, text), pair, "tokenize", text)
        flags = {"return_special_tokens_mask": True, "return_offsets_mapping": differences.kind == "fast"}
        differences.ask((label, "call", text), pair, "__call__", text, text[::-1], **flags)
    size = len(pair[1])
    generator = random.Random(f"rows {seed}")
    for _ in range(30):
        low = generator.choice((0, size - 12))
        ids = [generator.randrange(low, size + 2) for _ in range(generator.randint(0, 8))]
        for name, *arguments in (("decode", False), ("decode", True), ("decode", True, False), ("convert_ids_to_tokens", True)):
            differences.ask((label, name, ids, arguments), pair, name, ids, *arguments)


def changed_pair(differences, sides, vocabulary, seed):
    """Both tokenizers with the settings and additions of a seed, or None where neither can be made."""
    generator = random.Random(f"added {seed}")
    settings = cases.random_settings(generator)
    additions = [cases.random_addition(generator) for _ in range(generator.randint(0, 4))]
    ours = outcome_of_making(lambda: sides.ours(vocabulary, **made(settings, sides.our_token)))
    theirs = outcome_of_making(lambda: sides.theirs(vocabulary, **made(settings, sides.their_token)))
    if isinstance(theirs, BaseException) or isinstance(ours, BaseException):
        differences.check(("constructor", settings), ours, theirs)
        return None
    for addition in additions:
        results = outcome(changed, ours, addition, sides.our_token), outcome(changed, theirs, addition, sides.their_token)
        differences.check(("addition", settings, additions, addition), *results)
    return (ours, theirs), f"settings={settings} additions={additions}"


def outcome_of_making(call):
    """A tokenizer, or the exception it raised."""
    box = []
    failed = outcome(lambda: box.append(call()))
    return box[0] if box else failed


@pytest.mark.parametrize("block", range(12))
def test_added_tokens(sides, vocabulary, block):
    differences = Differences(sides.kind)
    for seed in range(block * 10, block * 10 + 10):
        found = changed_pair(differences, sides, vocabulary, seed)
        if found:
            compare_state(differences, *found)
            compare_use(differences, *found, seed)
    differences.assert_none()


# ---- files


def loaded(tokenizer_class, folder, **settings):
    """from_pretrained, or the exception it raised."""
    return outcome_of_making(lambda: tokenizer_class.from_pretrained(str(folder), **settings))


def compare_loaded(differences, pair, label, seed) -> None:
    """Compare two loaded tokenizers, if both could be loaded."""
    if any(isinstance(one, BaseException) for one in pair):
        differences.check((label, "from_pretrained"), *pair)
        return
    compare_state(differences, pair, label)
    compare_use(differences, pair, label, seed)


@pytest.mark.parametrize("block", range(10))
def test_saved_and_loaded_by_either_side_and_either_class(sides, vocabulary, tmp_path, block):
    differences = Differences(sides.kind)
    other = sides_of({"slow": "fast", "fast": "slow"}[sides.kind])
    for seed in range(block * 4, block * 4 + 4):
        found = changed_pair(differences, sides, vocabulary, seed)
        if not found:
            continue
        (ours, theirs), label = found
        folders = [tmp_path / f"{seed}-{name}" for name in ("ours", "theirs")]
        for tokenizer, folder in zip((ours, theirs), folders, strict=True):
            tokenizer.save_pretrained(str(folder))
        for load in (sides, other):
            truth = loaded(load.theirs, folders[1])
            for name, one in (("theirs", load.ours), ("ours", load.ours), ("ours", load.theirs)):
                pair = loaded(one, folders[name == "theirs"]), truth
                compare_loaded(differences, pair, f"{load.kind} class {one.__module__} loads what {name} saved; {label}", seed)
    differences.assert_none()


@pytest.mark.parametrize("legacy", [None, True, False])
@pytest.mark.parametrize("seed", range(12))
def test_the_saved_files(sides, vocabulary, tmp_path, seed, legacy):
    differences = Differences(sides.kind)
    found = changed_pair(differences, sides, vocabulary, seed)
    if not found:
        return
    (ours, theirs), label = found
    prefix = {0: "pre", 1: ""}.get(seed)
    saved = []
    for tokenizer, name in ((ours, "ours"), (theirs, "theirs")):
        folder = str(tmp_path / name)
        answer = outcome(tokenizer.save_pretrained, folder, legacy_format=legacy, filename_prefix=prefix)
        is_error = isinstance(answer, BaseException)
        saved.append(answer if is_error else sorted(str(Path(path).relative_to(folder)) for path in answer))
    case = Saved(sides.kind, legacy, prefix, "save_pretrained", label)
    differences.check(case, *saved)
    names = sorted({path.name for folder in ("ours", "theirs") for path in (tmp_path / folder).glob("*")})
    for name in names:
        contents = (content(tmp_path / folder / name) for folder in ("ours", "theirs"))
        differences.check(case._replace(name=name), *contents)
    differences.assert_none()


def content(path: Path):
    """The keys in order and the values of a JSON file, or the bytes of another; None if it is not there."""
    if not path.exists():
        return None
    if path.suffix != ".json":
        return path.read_bytes()
    return path.name, json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)


def test_save_vocabulary(sides, vocabulary, tmp_path):
    differences = Differences(sides.kind)
    pair = sides.ours(vocabulary), sides.theirs(vocabulary)
    for number, prefix in enumerate((None, "pre")):
        folders = [tmp_path / f"{name}{number}" for name in ("ours", "theirs")]
        answers = []
        for tokenizer, folder in zip(pair, folders, strict=True):
            folder.mkdir()
            answer = outcome(tokenizer.save_vocabulary, str(folder), prefix)
            answers.append([Path(path).relative_to(folder).name for path in answer])
            assert (folder / answers[-1][0]).read_bytes() == vocabulary.read_bytes()
        differences.check(("save_vocabulary", prefix), *answers)
    differences.assert_none()


CONFIGS = [
    {},
    {"do_lower_case": False},
    {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
    {"model_max_length": 17, "padding_side": "left", "truncation_side": "left"},
    {"unk_token": "the", "mask_token": {"content": "<m>", "lstrip": True, "__type": "AddedToken"}},
    {"cls_token": "king", "sep_token": "love", "additional_special_tokens": ["<a>", "foo"]},
    {
        "added_tokens_decoder": {
            "5": {"content": "foo", "special": False, "lstrip": True},
            "2000": {"content": "<new>", "special": True},
        }
    },
    {"clean_up_tokenization_spaces": False, "unknown_setting": 3, "tokenizer_class": "BertTokenizer"},
    {"never_split": ["don't"], "do_basic_tokenize": True},
    {"do_basic_tokenize": False},
]
EXTRAS = [
    {},
    {"special_tokens_map.json": {"mask_token": "<mm>", "pad_token": "the"}},
    {"special_tokens_map.json": {"additional_special_tokens": ["<x>", "<y>"], "bos_token": "[B]"}},
    {"added_tokens.json": {"<z>": 2000, "foo": 2001}},
    {"added_tokens.json": {"[MASK]": 4, "zz zz": 1300}, "special_tokens_map.json": {"additional_special_tokens": ["zz zz"]}},
]


@pytest.mark.parametrize("extra", range(len(EXTRAS)))
@pytest.mark.parametrize("config", range(len(CONFIGS)))
def test_folders_as_others_wrote_them(sides, vocabulary, tmp_path, config, extra):
    files = {"tokenizer_config.json": CONFIGS[config], **EXTRAS[extra]}
    for name, value in files.items():
        (tmp_path / name).write_text(json.dumps(value), encoding="utf-8")
    (tmp_path / "vocab.txt").write_bytes(vocabulary.read_bytes())
    differences = Differences(sides.kind)
    for settings in ({}, {"do_lower_case": False, "mask_token": "king"}):
        pair = loaded(sides.ours, tmp_path, **settings), loaded(sides.theirs, tmp_path, **settings)
        compare_loaded(differences, pair, f"{files} {settings}", config)
    sides_of("fast").theirs(vocabulary, do_lower_case=False).backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    pair = loaded(sides.ours, tmp_path), loaded(sides.theirs, tmp_path)
    compare_loaded(differences, pair, f"with a cased tokenizer.json: {files}", config)
    differences.assert_none()


# ---- the comparison itself


def test_the_comparison_sees_that_slow_and_fast_differ(vocabulary):
    crossed = sides_of("slow", "crossed")
    differences = Differences("slow")
    for seed in range(4):
        found = changed_pair(differences, crossed, vocabulary, seed)
        if found:
            compare_state(differences, *found)
            compare_use(differences, *found, seed)
    with pytest.raises(AssertionError, match="cases differ"):
        differences.assert_none()
