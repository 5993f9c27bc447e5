"""The character tables: recorded answers for every code point, no matter which Unicode version Python has, and their notation."""

import hashlib
import re
import sys
import types
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbert_np.tokenization import characters, unicode_tables
from convbert_np.tokenization.characters import KNOWN, PINNED, UNICODEDATA, CodePoints

ROOT = Path(__file__).parents[1]
ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# How many code points of Unicode are of a kind (or are changed), and the first digits of the SHA-256 of all answers.
RECORDED = {
    "is_dropped": (137_681, "e1e0ca7c7db2d8fe"),
    "is_space": (22, "6dc32c38c8fae1f3"),
    "splits": (25, "aa220d7f08d0e2a6"),
    "is_chinese": (81_264, "25aee65443ea0480"),
    "is_punctuation": (726, "4ef7332746a284c8"),
    "is_mark": (1_567, "93d2737e629b5a23"),
    "lower": (1_433, "6d5a2bf77d275efa"),
    "decompose": (13_232, "132d7d6c7aa49680"),
    "combining": (814, "2b62119a01bc7edd"),
}
TEXTS = {name: text for name, text in vars(unicode_tables).items() if name.isupper() and isinstance(text, str)}


def record(kind: str) -> tuple[int, str]:
    """The count and the digest of RECORDED."""
    answers = [getattr(PINNED, kind)(c) for c in ALL]
    count = sum(a != c if isinstance(a, str) else a != 0 for a, c in zip(answers, ALL, strict=True))
    text = "\0".join(a if isinstance(a, str) else str(int(a)) for a in answers)
    return count, hashlib.sha256(text.encode()).hexdigest()[:16]


# ---- the pinned tables


@pytest.mark.parametrize("kind", RECORDED)
def test_the_answers_about_all_code_points_are_those_recorded(kind):
    assert record(kind) == RECORDED[kind]


def test_another_unicode_version_changes_nothing(monkeypatch):
    """What a later Python says of characters that the tables do not know is not asked; nor is any category."""
    strangers = [c for c in ALL[::7] if ord(c) not in KNOWN]
    answers = {kind: [getattr(PINNED, kind)(c) for c in strangers] for kind in RECORDED}

    def changed(*_):
        raise AssertionError("unicodedata was asked about a character that may change")

    later = types.SimpleNamespace(**dict.fromkeys(("category", "normalize", "combining", "name"), changed))
    monkeypatch.setattr(characters, "unicodedata", later)
    assert answers == {kind: [getattr(PINNED, kind)(c) for c in strangers] for kind in RECORDED}
    for kind in set(RECORDED) - {"decompose", "combining"}:
        assert [getattr(PINNED, kind)(chr(c)) for c in list(KNOWN)[:2000]]


def test_python_is_asked_only_about_characters_that_it_knows():
    assert [f"{c:04X}" for c in KNOWN if unicodedata.category(chr(c)) == "Cn"] == []
    assert [c for c in range(0xD800, 0xE000) if c in KNOWN] == []


def test_lower_case_and_decomposition_are_final():
    """Done twice they are done once, and no part of a decomposition is lost on the way."""
    for c in ALL:
        low, parts = PINNED.lower(c), PINNED.decompose(c)
        assert "".join(map(PINNED.lower, low)) == low and "".join(map(PINNED.decompose, parts)) == parts
        assert (1 <= len(low) <= 2) and parts


def test_ascii_is_the_same_in_both_classes():
    for kind in set(RECORDED) - {"splits"}:
        for c in ALL[:128]:
            assert getattr(PINNED, kind)(c) == getattr(UNICODEDATA, kind)(c), (kind, c)
    assert [c for c in ALL[:128] if PINNED.splits(c) != UNICODEDATA.splits(c)] == list("\x1c\x1d\x1e\x1f")
    assert "".join(c for c in ALL[:128] if PINNED.is_punctuation(c)) == "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@pytest.mark.parametrize(
    ("kind", "character", "slow", "fast"),
    [
        ("is_space", "\u2028", False, True),
        ("is_space", "\u00a0", True, True),
        ("is_space", "\u200b", False, False),
        ("is_dropped", "\u0378", True, False),  # unassigned
        ("is_dropped", "\u08e2", True, False),
        ("is_dropped", "\ufffd", True, True),
        ("is_dropped", "\t", False, False),
        ("splits", "\x85", True, True),
        ("is_chinese", "\U0002b820", True, False),
        ("is_chinese", "\U0002b920", True, True),
        ("is_chinese", "\u3042", False, False),
        ("is_punctuation", "\u2e43", True, False),
        ("is_punctuation", "\u00a3", False, False),
        ("is_mark", "\u08d4", True, False),
        ("is_mark", "\u302f", False, False),
        ("is_mark", "\u20dd", False, False),
        ("lower", "\u0130", "i\u0307", "i\u0307"),
        ("lower", "\u03a3", "\u03c3", "\u03c3"),
        ("lower", "\u00df", "\u00df", "\u00df"),
        ("decompose", "\uac01", "\u1100\u1161\u11a8", "\u1100\u1161\u11a8"),
        ("decompose", "\u1f82", "\u03b1\u0313\u0300\u0345", "\u03b1\u0313\u0300\u0345"),
        ("decompose", "\U00011938", "\U00011935\U00011930", "\U00011938"),
        ("combining", "\u0301", 230, 230),
        ("combining", "\u08d3", 220, 0),
    ],
)
def test_characters_that_tell_the_classes_apart(kind, character, slow, fast):
    assert (getattr(UNICODEDATA, kind)(character), getattr(PINNED, kind)(character)) == (slow, fast)


# ---- the notation


def test_the_notation_of_a_set():
    some = CodePoints("0100-0104/2 41-43\n00AA")
    assert list(some) == [0x41, 0x42, 0x43, 0xAA, 0x100, 0x102, 0x104]
    assert 0x102 in some and 0x103 not in some and 0x40 not in some and 0x105 not in some
    assert some.has("C") and not some.has("D") and list(CodePoints("")) == []


@given(st.sets(st.integers(0, 300)))
def test_what_is_written_is_read(codepoints):
    tool = import_tool()
    for steps in ((1,), (1, 2)):
        read = CodePoints(tool.notation(codepoints, steps))
        assert list(read) == sorted(codepoints)
        assert [c for c in range(302) if c in read] == sorted(codepoints)


@pytest.mark.parametrize("name", [*TEXTS, *unicode_tables.LOWER])
def test_the_tables_are_written_in_order_and_in_the_shortest_way(name):
    tool = import_tool()
    text = TEXTS[name] if name in TEXTS else unicode_tables.LOWER[name]
    assert " ".join(text.split()) == tool.notation(CodePoints(text), (1,) if name in TEXTS else (1, 2))


def test_the_page_gives_the_recorded_counts():
    page = (ROOT / "docs" / "unicode.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]+\| `(\w+)` \| ([\d,]+) \|", page, re.MULTILINE)
    assert {kind: int(count.replace(",", "")) for kind, count in rows} == {kind: n for kind, (n, _) in RECORDED.items()}


def import_tool() -> types.ModuleType:
    """The script that makes the tables; importing it needs nothing that is not here."""
    sys.path.append(str(ROOT / "tests" / "tools"))
    try:
        import make_unicode_tables
    finally:
        sys.path.pop()
    return make_unicode_tables
