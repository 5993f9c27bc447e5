"""tokenizer.explain: it tells what the tokenizer does, to the id, and shows it on a page."""

import json
import pickle
import sys
import unicodedata
import warnings
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convbert_np import AddedToken, ConvBertTokenizer, ConvBertTokenizerFast
from convbert_np.tokenization.explain_edits import Edit, edits_of, merged, shortened_edits, split_edits
from convbert_np.tokenization.explain_html import STYLES
from convbert_np.tokenization.visible import columns, shortened, visible, wrapped

sys.path.append(str(Path(__file__).parent / "tools"))

from tokenizer_cases import MARKS, SPACES, SPECIAL_LIKE, TINY, WORDS
from tokenizer_compare import write_vocabulary

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tokenizer.json").read_text(encoding="utf-8"))
CLASSES = {"slow": ConvBertTokenizer, "fast": ConvBertTokenizerFast}
KINDS = pytest.mark.parametrize("kind", CLASSES)
FLAGS = [
    AddedToken("<m>", lstrip=True, special=True),
    AddedToken("<n>", rstrip=True, normalized=False),
    AddedToken("King", single_word=True),
    AddedToken("\u00c9t\u00e9", normalized=True),
    AddedToken("of the"),
    AddedToken("w", lstrip=True, rstrip=True, single_word=True),
]
OPTIONS = {
    "slow": [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
        {"do_basic_tokenize": False},
        {"never_split": ["state-of-the-art", "x", "caf\u00e9", "[SEP]"]},
        {"split_special_tokens": True, "never_split": ["don't"]},
    ],
    "fast": [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
        {"clean_text": False},
        {"clean_text": False, "do_lower_case": False},
        {"wordpieces_prefix": "t"},
    ],
}
CASES = pytest.mark.parametrize(
    ("kind", "options", "flags"),
    [(kind, options, flags) for kind in CLASSES for options in OPTIONS[kind] for flags in (False, True)],
)
SPICE = [
    *WORDS,
    *SPECIAL_LIKE,
    *SPACES,
    *MARKS,
    "<m>",
    "<n>",
    "King",
    "\u00c9t\u00e9",
    "of the",
    "w",
    " ",
    " ",
    "\u0000",
    "x" * 101,
]
NASTY = st.lists(st.sampled_from(SPICE) | st.text(st.characters(exclude_categories=("Cs",)), max_size=4), max_size=12).map(
    "".join
)


@pytest.fixture(scope="module")
def characters(tmp_path_factory) -> Path:
    """The vocabulary of the single characters of the golden texts."""
    tokens = [*GOLDEN["special"], *GOLDEN["characters"], *("##" + c for c in GOLDEN["characters"])]
    return write_vocabulary(tmp_path_factory.mktemp("characters"), tokens)


def made(kind: str, path: Path, options: dict, flags: bool):
    """A tokenizer with these options, and with added tokens of every flag if asked for."""
    tokenizer = CLASSES[kind](path, **options)
    if flags:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokenizer.add_tokens(FLAGS)
    return tokenizer


def check(tokenizer, text: str):
    """The explanation of a text, after everything in it that must agree was compared."""
    explanation = tokenizer.explain(text)
    assert explanation.ids == tokenizer(text, add_special_tokens=False)["input_ids"], ascii(text)
    assert explanation.tokens == tokenizer.tokenize(text), ascii(text)
    stages = explanation.stages
    assert all(a.after == b.before for a, b in pairwise(stages)), "a stage begins where the last one ended"
    assert stages[0].before == explanation.text == text
    for word in explanation.words:
        check_word(word, explanation)
    return explanation


def check_word(word, explanation) -> None:
    """Its place, and that its steps are the longest matches."""
    if word.kept is None:
        cut = [step.piece for step in word.steps if step.piece is not None]
        assert (word.unknown is not None) == (not cut or cut != [step.piece for step in word.steps])
        assert word.unknown or len(cut) == len(word.tokens)
    for step in word.steps:
        found = [candidate.found for candidate in step.candidates]
        assert found == [False] * (step.tried - 1) + [step.piece is not None]
        assert step.piece in (None, step.candidates[-1].text)
    assert (word.span is None) == (explanation.class_name == "ConvBertTokenizer")


# ---- the same tokens and ids


@CASES
def test_golden_texts(characters, kind, options, flags):
    for path in (characters, TINY):
        tokenizer = made(kind, path, options, flags)
        for text in (*GOLDEN["texts"], *GOLDEN["new"]):
            check(tokenizer, text)


@CASES
@settings(max_examples=30, deadline=None)
@given(texts=st.lists(NASTY, min_size=3, max_size=3))
def test_nasty_texts(kind, options, flags, texts):
    tokenizer = made(kind, TINY, options, flags)
    for text in texts:
        explanation = check(tokenizer, text)
        assert all(columns(line) <= 100 for line in str(explanation).split("\n"))
        Tags().feed(explanation._repr_html_())
        json.dumps(explanation.to_dict())


@settings(max_examples=100, deadline=None)
@given(NASTY)
def test_the_places_of_words_are_those_of_the_offsets(text):
    tokenizer = made("fast", TINY, {}, True)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    words = check(tokenizer, text).words
    numbers = [number for number, word in enumerate(words) for _ in word.ids]
    assert encoding.word_ids() == numbers
    for number, word in enumerate(words):
        offsets = [span for span, at in zip(encoding["offset_mapping"], numbers, strict=True) if at == number]
        assert word.span == (offsets[0][0], offsets[-1][1])


@KINDS
def test_every_candidate_is_looked_up_in_the_vocabulary(kind):
    tokenizer = CLASSES[kind](TINY)
    for word in tokenizer.explain("kingship unthinkingly zzyzx unaffable, embeddings").words:
        for step in word.steps:
            assert [candidate.found for candidate in step.candidates] == [c.text in tokenizer.vocab for c in step.candidates]
            assert step.id is None or tokenizer.vocab[step.piece] == step.id
            assert [len(c.text) for c in step.candidates] == sorted((len(c.text) for c in step.candidates), reverse=True)
            assert step.candidates[0].text == step.prefix + word.text[step.start :]


# ---- the order of the stages


def names(explanation) -> list[str]:
    return [stage.name for stage in explanation.stages]


def test_the_order_of_the_slow_class():
    explanation = ConvBertTokenizer(TINY).explain("a")
    assert names(explanation) == [
        "lower text", "added tokens", "clean", "chinese", "compose", "white space", "lower", "strip", "punctuation", "split",
    ]  # fmt: skip
    bare = ConvBertTokenizer(TINY, do_basic_tokenize=False).explain("A b,")
    assert names(bare) == ["added tokens", "split"] and [word.text for word in bare.words] == ["A", "b,"]
    assert set(bare.off) == {"lower text", "clean", "chinese", "compose", "lower", "strip", "punctuation"}


def test_the_order_of_the_fast_class():
    tokenizer = ConvBertTokenizerFast(TINY)
    order = ["added tokens", "clean", "chinese", "strip", "lower", "punctuation", "split"]
    assert names(tokenizer.explain("a")) == order and tokenizer.explain("a").off == ()
    tokenizer.add_tokens(["King"])
    assert names(tokenizer.explain("a")) == [*order[:5], "normalized tokens", *order[5:]]
    bare = ConvBertTokenizerFast(TINY, do_lower_case=False, tokenize_chinese_chars=False, clean_text=False).explain("a")
    assert names(bare) == ["added tokens", "punctuation", "split"] and bare.off == ("clean", "chinese", "strip", "lower")


def stage(explanation, name: str):
    """The stage of this name."""
    (found,) = [stage for stage in explanation.stages if stage.name == name]
    return found


def test_what_each_stage_did():
    explanation = ConvBertTokenizerFast(TINY).explain("The\tcaf\u00e9\u0000 [MASK]\u6771!")
    texts = {stage.name: stage.after for stage in explanation.stages}
    assert texts == {
        "added tokens": "The\tcaf\u00e9\u0000 [MASK]\u6771!",
        "clean": "The caf\u00e9 [MASK]\u6771!",
        "chinese": "The caf\u00e9 [MASK] \u6771 !",
        "strip": "The cafe [MASK] \u6771 !",
        "lower": "the cafe [MASK] \u6771 !",
        "punctuation": "the cafe [MASK] \u6771  ! ",
        "split": "the cafe [MASK] \u6771 !",
    }
    assert [edit for edit in stage(explanation, "clean").edits if edit.changed] == [Edit("\t", " "), Edit("\u0000", "")]
    assert [edit for edit in stage(explanation, "strip").edits if edit.changed] == [Edit("\u00e9", "e")]
    assert [edit.after for edit in stage(explanation, "lower").edits if edit.kept] == ["[MASK]"]


def test_letters_are_composed_together_with_their_marks():
    explanation = ConvBertTokenizer(TINY, do_lower_case=False).explain("cafe\u0301 \u1112\u1161\u11ab")
    assert [edit for edit in stage(explanation, "compose").edits if edit.changed] == [
        Edit("e\u0301", "\u00e9"),
        Edit("\u1112\u1161\u11ab", "\ud55c"),
    ]


@KINDS
def test_parts_are_added_tokens_and_the_text_between(kind):
    tokenizer = CLASSES[kind](TINY)
    tokenizer.add_tokens([AddedToken("<m>", lstrip=True, special=True)], special_tokens=True)
    explanation = tokenizer.explain("The king <m> of[MASK]")
    found = [(part.text, part.token) for part in explanation.parts]
    if kind == "slow":
        assert found == [("the king", None), ("<m>", "<m>"), (" of", None), ("[MASK]", "[MASK]")]
        assert Edit(" ", "") in stage(explanation, "added tokens").edits
    else:
        assert found == [("The king", None), (" <m>", "<m>"), (" of", None), ("[MASK]", "[MASK]")]
        assert [part.span for part in explanation.parts] == [(0, 8), (8, 12), (12, 15), (15, 21)]
    assert [part.id for part in explanation.parts] == [None, tokenizer.added_tokens_encoder["<m>"], None, 4]


def test_a_normalized_token_is_found_after_the_other_stages():
    tokenizer = ConvBertTokenizerFast(TINY)
    tokenizer.add_tokens(["King"])
    explanation = check(tokenizer, "the K\u00cdNG!")
    assert [(part.text, part.token, part.span) for part in explanation.parts] == [
        ("the ", None, (0, 4)),
        ("K\u00cdNG", "King", (4, 8)),
        ("!", None, (8, 9)),
    ]
    assert explanation.words[1].kept == "added token" and explanation.words[1].tokens == ("king",)


@pytest.mark.parametrize("clean", [True, False])
def test_a_line_end_is_white_space_to_added_tokens_too(clean):
    tokenizer = ConvBertTokenizerFast(TINY, clean_text=clean)
    tokenizer.add_tokens(["of the"])
    assert check(tokenizer, "a\nking of\nthe sea").tokens == ["a", "king", *(["of the"] if clean else ["of", "the"]), "sea"]


def test_words_that_are_never_split():
    tokenizer = ConvBertTokenizer(TINY, never_split=["a.m."])
    explanation = check(tokenizer, "10 a.m. p.m.")
    assert [word.text for word in explanation.words if word.kept] == ["a.m."]
    assert [word.kept for word in explanation.words][:2] == [None, "never split"]
    assert Edit("a.m.", "a.m.", True) in stage(explanation, "punctuation").edits


def test_words_that_become_such_as_are_never_split():
    explanation = check(ConvBertTokenizer(TINY, never_split=["a.m."]), "10 \u00e1.m. p.m.")
    assert names(explanation)[-4:] == ["strip", "never split", "punctuation", "split"]
    assert [word.text for word in explanation.words if word.kept] == ["a.m."]


@KINDS
def test_unknown_words_tell_why(kind):
    tokenizer = CLASSES[kind](TINY)
    first, second, third = check(tokenizer, f"th\u16a0e {'a' * 101} {'a' * 100}").words
    assert first.unknown == "nothing fits at character 2" and first.tokens == ("[UNK]",)
    assert first.steps[-1].candidates == (("##\u16a0e", False), ("##\u16a0", False)) and first.steps[-1].piece is None
    assert second.unknown == "longer than 100 characters" and second.steps == () and second.ids == (1,)
    assert third.unknown is None and third.steps


# ---- the pages


class Tags(HTMLParser):
    """Checks that elements are closed in order, and collects their names, attributes and text."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def feed(self, data):
        super().feed(data)
        assert not self.open, "every element is closed"
        assert self.names <= {"div", "span", "table", "tbody", "tr", "td", "b", "br", "small"} and self.attributes <= {"style"}


ATTACK = "<script>alert(1)</script> <img src=x onerror='a()'> \"&amp;</span>"


@KINDS
def test_html_of_any_text_is_escaped(kind):
    tokenizer = CLASSES[kind](TINY, never_split=["<script>"]) if kind == "slow" else CLASSES[kind](TINY)
    tokenizer.add_tokens(["<img>", AddedToken("</span>", normalized=False), "<b>"])
    page = tokenizer.explain(ATTACK + " <img><b> a<script>b")._repr_html_()
    parser = Tags()
    parser.feed(page)
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert ATTACK in parser.text


def test_the_pieces_of_a_vocabulary_are_escaped_too(tmp_path):
    path = write_vocabulary(tmp_path, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<", "##script>", "<script>"])
    page = ConvBertTokenizer(path, do_basic_tokenize=False).explain("<script> <script>script>")._repr_html_()
    Tags().feed(page)
    assert "&lt;script&gt;" in page and "<script" not in page


def test_the_printed_page():
    text = "The caf\u00e9\u0000 cafe\u0301 unaffable [MASK]"
    page = str(ConvBertTokenizerFast(TINY).explain(text))
    for shown in (
        "ConvBertTokenizerFast: 32 characters, 5 words, ",
        "\u2400 dropped",
        "\u00e9 \u2192 e   \u25cc\u0301 dropped",
        "T \u2192 t",
        "\u27e6[MASK]\u27e7",
        "[26:32]  added token \u2192 [MASK] 4",
        "unaffable  unaffabl  unaffab",
        "the  [0:3]  \u2192 the ",
    ):
        assert shown in page, shown


def test_the_html_page():
    parser = Tags()
    page = ConvBertTokenizerFast(TINY, strip_accents=False).explain("NO\u0000 unaffable th\u16a0e [MASK]!")._repr_html_()
    parser.feed(page)
    for shown in (
        "nothing fits at character 2",
        "[MASK] 4 added token",
        "unaffable",
        "14\u201318",
        "Switched off: strip",
        "Nothing to do",
    ):
        assert shown in parser.text, shown
    for name, text in (("removed", "NO"), ("inserted", "no"), ("removed", "\u2400"), ("kept", "[MASK]"), ("inserted", "\u2423")):
        assert f'<span style="{STYLES[name]}">{text}</span>' in page, text


def test_only_some_words_and_candidates_are_printed():
    tokenizer = ConvBertTokenizer(TINY)
    text = "king " * 10 + "z" * 60
    for page in (str(tokenizer.explain(text, max_words=4)), tokenizer.explain(text, max_words=4)._repr_html_()):
        assert "\u2026 7 more words" in page and "zz" not in page.split("WORDS" if "WORDS" in page else "Words")[1]
    full = str(tokenizer.explain(text, max_words=None))
    assert "more words" not in full and "more steps" in full
    assert len(tokenizer.explain(text, max_words=0).words) == 11
    long = str(tokenizer.explain("unaffabilityisms" * 3))
    assert "\u2026 " in long and "more  " in long


def test_plain_values_for_json():
    explanation = ConvBertTokenizerFast(TINY).explain("The kingship [MASK]")
    values = json.loads(json.dumps(explanation.to_dict()))
    assert values["ids"] == explanation.ids and values["tokens"] == explanation.tokens and values["text"] == explanation.text
    assert values["words"][0]["span"] == [0, 3] and values["words"][0]["steps"][0]["candidates"] == [
        {"text": "the", "found": True}
    ]
    assert [stage["name"] for stage in values["stages"]] == names(explanation)
    assert "".join(edit["after"] for edit in values["stages"][-1]["edits"]) == values["stages"][-1]["after"]
    assert values["parts"][-1] == {"text": "[MASK]", "token": "[MASK]", "id": 4, "span": [13, 19]}


@KINDS
def test_an_explanation_can_be_kept(kind):
    explanation = CLASSES[kind](TINY).explain("The kingship [MASK]")
    assert pickle.loads(pickle.dumps(explanation)) == explanation
    assert repr(explanation).startswith(f"<Explanation by {explanation.class_name}: 19 characters, 3 words")


@pytest.mark.parametrize("text", ["", " \t\u0000"])
@KINDS
def test_a_text_of_nothing(kind, text):
    explanation = check(CLASSES[kind](TINY), text)
    assert explanation.words == () and "0 words, 0 tokens" in str(explanation)
    Tags().feed(explanation._repr_html_())


@pytest.mark.parametrize(
    "unit", ["The king's caf\u00e9 \u6771! ", "a", "z\u0301", "[MASK]", "\u6771", "unaffable" * 11 + " ", " "]
)
@KINDS
def test_a_long_text(kind, unit):
    explanation = check(CLASSES[kind](TINY), unit * (40_000 // len(unit)))
    assert len(str(explanation)) < 250_000 and len(explanation._repr_html_()) < 2_500_000


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None,), TypeError, "text must be a string, not NoneType"),
        ((["a"],), TypeError, "text must be a string, not list"),
        (("a\ud800",), ValueError, "text has a lone surrogate"),
        (("a", -1), ValueError, "max_words must be at least 0, not -1"),
        (("a", True), TypeError, "max_words must be an integer, not True"),
    ],
)
@KINDS
def test_a_bad_argument_is_named(kind, arguments, error, message):
    with pytest.raises(error, match=message):
        CLASSES[kind](TINY).explain(*arguments)


# ---- the parts


def test_edits_fall_back_to_clusters_and_then_to_the_whole():
    assert edits_of("aB", "ab", str.lower, 9) == [Edit("a", "a"), Edit("B", "b"), Edit("", "")]
    assert merged(edits_of("aBc", "abc", str.lower, 2)) == (Edit("a", "a"), Edit("B", "b"), Edit("c", "c"))
    assert edits_of("ab", "ba", lambda text: text[::-1], 9) == [Edit("ab", "ba")]
    found = edits_of("ae\u0301", "a\u00e9", lambda text: unicodedata.normalize("NFC", text), 9)
    assert merged(found) == (Edit("a", "a"), Edit("e\u0301", "\u00e9"))


def test_merged_edits_keep_changes_apart():
    edits = [Edit("a", "a"), Edit("", ""), Edit("b", "b"), Edit("C", "c"), Edit("D", "d"), Edit("E", "E", True), Edit("f", "f")]
    assert merged(edits) == (Edit("ab", "ab"), Edit("C", "c"), Edit("D", "d"), Edit("E", "E", True), Edit("f", "f"))


def test_one_space_is_left_between_words():
    edits = merged(split_edits([(" a  b ", [("a", False), ("b", False)]), ("C", [("C", True)]), ("d ", [("d", False)])]))
    assert "".join(edit.before for edit in edits) == " a  b Cd " and "".join(edit.after for edit in edits) == "a b C d"


def test_white_space_that_added_tokens_take():
    edits = merged(shortened_edits("a  <m> b ", [("a<m>", True), ("b", False)]))
    assert "".join(edit.before for edit in edits) == "a  <m> b " and "".join(edit.after for edit in edits) == "a<m>b"


def test_what_cannot_be_seen_is_shown():
    assert visible("a\u0000\t\x7f b") == "a\u2400\u2409\u2421 b"
    assert visible(" a", apart=True) == "\u2423a"
    assert visible("\u200b\u00a0\ufe0f\U000e0001\u2028") == "⟨U+200B⟩⟨U+00A0⟩⟨U+FE0F⟩⟨U+E0001⟩⟨U+2028⟩"
    assert visible("e\u0301") == "e\u0301" and visible("e\u0301", apart=True) == "e\u25cc\u0301"
    assert visible("\u0301 \u0301\u0302") == "\u25cc\u0301 \u25cc\u0301\u0302"


def test_columns_and_lines():
    assert [columns(text) for text in ("abc", "\u6771a", "e\u0301")] == [3, 3, 1]
    assert wrapped(["aa", "bb", "cc"], 5, " ") == ["aa bb", "cc"]
    assert wrapped(["a" * 7], 3) == ["aaa", "aaa", "a"] and wrapped([], 3) == [""]
    assert wrapped(["\u6771" * 3], 5) == ["\u6771\u6771", "\u6771"]
    assert shortened("abcd", 4) == "abcd" and shortened("abcde", 4) == "abcd\u2026 1 more"
