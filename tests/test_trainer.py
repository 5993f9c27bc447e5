"""Vocabulary training: against a trainer that counts everything anew for every merge, and its promises one by one."""

import math
import os
import random
import subprocess
import sys
from collections import Counter
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convbert_np.tokenization import ConvBertTokenizer
from convbert_np.tokenization.merges import BLOCK, CRITERIA, Merger, characters, make_pieces, replace
from convbert_np.tokenization.trainer import SPECIAL_TOKENS, cut_greedily, losses, progress_bar, prune, train_wordpiece

SPECIAL = list(SPECIAL_TOKENS)
STEMS = ["low", "new", "wide", "slow", "walk", "talk", "kind", "loud", "old", "cold", "warm", "strong"]
LEXICON = [before + stem + after for stem in STEMS for before in ("", "un") for after in ("", "er", "est", "ness", "ly")]
TEXTS = [" ".join(random.Random(seed).choices(LEXICON, range(len(LEXICON), 0, -1), k=9)) for seed in range(80)]
QUIET = progress_bar(False)


def train(*texts: str, size: int = 1000, **settings) -> list[str]:
    """The tokens after the special ones."""
    settings = {"progress": False, "special_tokens": (), **settings}
    return train_wordpiece(texts, size, **settings)


def longer(tokens: list[str]) -> list[str]:
    """The pieces of more than one character."""
    return [token for token in tokens if len(token.removeprefix("##")) > 1]


# ---- the merges, against counting everything anew


def score(criterion: str, pair: int, first: int, second: int, total: int) -> float:
    gain = math.log(pair * total / (first * second))
    return {"likelihood": pair * gain, "ratio": math.log(pair / (first * second)), "count": pair}[criterion]


def naive_best(words: dict[str, list[str]], frequencies: dict[str, int], criterion: str, least: int) -> tuple[str, str] | None:
    singles, pairs = Counter(), Counter()
    for word, pieces in words.items():
        for piece in pieces:
            singles[piece] += frequencies[word]
        for pair in pairwise(pieces):
            pairs[pair] += frequencies[word]

    def rank(pair: tuple[str, str]) -> tuple:
        a, b = pair
        points = round(score(criterion, pairs[pair], singles[a], singles[b], singles.total()), 6)
        return -points, -pairs[pair], a + b.removeprefix("##")

    return min((pair for pair in pairs if pairs[pair] >= least), key=rank, default=None)


def text_of(merge: str) -> str:
    return merge.replace(" ##", "")


def naive_merges(frequencies: dict[str, int], criterion: str, least: int) -> list[str]:
    """Every merge as its two pieces, until none is left."""
    words = {word: characters(word) for word in frequencies}
    merges = []
    while (best := naive_best(words, frequencies, criterion, least)) is not None:
        merges.append(" ".join(best))
        for word, pieces in words.items():
            text = " " + " ".join(pieces) + " "
            while (found := text.find(" " + " ".join(best) + " ")) >= 0:
                merged = best[0] + best[1].removeprefix("##")
                text = text[: found + 1] + merged + text[found + 1 + len(" ".join(best)) :]
            words[word] = text.split()
    return merges


def all_merges(frequencies: dict[str, int], criterion: str, least: int) -> list[str]:
    merger = Merger(frequencies, criterion, least)
    merges = []
    while (slot := merger.best()) is not None:
        assert merger.best() == slot, "asking twice changes nothing"
        merges.append(" ".join(merger.pieces[piece] for piece in merger.pairs[:, slot]))
        merger.merge(slot)
        check_counts(merger)
    return merges


def check_counts(merger: Merger) -> None:
    """The counts that were kept are those of the words as they are cut now."""
    counts, pairs = Counter(), Counter()
    for word, frequency in zip(merger.words, merger.frequencies, strict=True):
        counts.update(dict.fromkeys(word, 0))
        for piece in word:
            counts[piece] += frequency
        for pair in pairwise(word):
            pairs[pair] += frequency
    assert [counts[piece] for piece in range(len(merger.pieces))] == merger.counts[: len(merger.pieces)].tolist()
    assert counts.total() == merger.total
    assert pairs == {pair: merger.pair_counts[slot] for pair, slot in merger.slots.items()}
    scores = merger._scores(np.arange(len(merger.pair_counts))).reshape(-1, BLOCK)
    assert (scores.max(1) <= merger.bounds).all(), "a bound must be no less than any score in its block"


WORDS = st.dictionaries(st.text("abc", min_size=1, max_size=8), st.integers(1, 30), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(WORDS, st.sampled_from(list(CRITERIA)), st.integers(1, 4))
@example({"aaaaa": 2, "aaaa": 1}, "count", 1)
@example({"abab": 1, "babab": 3}, "likelihood", 1)
@example({"addad": 1, "dc": 2, "accad": 1, "adda": 1, "aac": 2, "dcada": 1, "cc": 4}, "ratio", 1)  # equal score, another count
def test_every_merge_is_the_best_one(frequencies, criterion, least):
    assert all_merges(frequencies, criterion, least) == naive_merges(frequencies, criterion, least)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_merge_is_the_best_one_with_many_blocks(criterion, monkeypatch):
    monkeypatch.setattr("convbert_np.tokenization.merges.BLOCK", 4)
    monkeypatch.setitem(globals(), "BLOCK", 4)
    chance = random.Random(3)
    words = {"".join(chance.choices("abcdefgh", range(8, 0, -1), k=chance.randint(1, 9))) for _ in range(60)}
    frequencies = {word: chance.randint(1, 40) for word in sorted(words)}
    assert all_merges(frequencies, criterion, 3) == naive_merges(frequencies, criterion, 3)


def test_the_criteria_differ_as_they_should():
    frequencies = {"ab": 60, "ac": 60, "xy": 20, "qz": 3}
    first = {criterion: all_merges(frequencies, criterion, 2)[0] for criterion in CRITERIA}
    # 60 log(60 * 286 / (120 * 60)) = 52.1 for a b, 20 log(20 * 286 / (20 * 20)) = 53.2 for x y
    assert first == {"count": "a ##b", "likelihood": "x ##y", "ratio": "q ##z"}


def test_scores_are_compared_to_six_decimals(monkeypatch):
    frequencies = {"ab": 3, "cd": 5, "ef": 5}
    for noise, expected in ((1e-8, ["cd", "ef", "ab"]), (1e-5, ["ab", "cd", "ef"])):
        monkeypatch.setitem(CRITERIA, "count", lambda pair, first, second, total, noise=noise: noise / pair)
        assert list(make_pieces(Merger(frequencies, "count", 1), 3, set())) == expected


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text("ab", min_size=1, max_size=12), st.integers(1, 9), min_size=1), st.sampled_from(list(CRITERIA)))
def test_every_merge_makes_a_new_piece(frequencies, criterion):
    merger = Merger(frequencies, criterion, 1)
    assert all(list(make_pieces(merger, 1000, set())))
    assert len(set(merger.pieces)) == len(merger.pieces)


def test_pieces_that_are_known_are_merged_but_not_counted():
    frequencies = {"abc": 3, "abd": 2}
    assert list(make_pieces(Merger(frequencies, "count", 1), 2, {"ab"})) == ["abc", "abd"]
    assert list(make_pieces(Merger(frequencies, "count", 1), 0, set())) == []


def test_a_run_of_one_piece_is_merged_from_the_left():
    assert replace([1, 1, 1, 2, 1, 1], 1, 1, 7) == [7, 1, 2, 7]
    assert replace([1, 2, 1, 2, 2], 1, 2, 7) == [7, 7, 2]
    assert replace([2, 1], 1, 2, 7) == [2, 1]


# ---- what greedy cutting misses least


def test_greedy_cutting_is_the_tokenizer_s(tmp_path):
    tokens = train_wordpiece(TEXTS, 40, progress=False)
    (tmp_path / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    tokenizer = ConvBertTokenizer(tmp_path / "vocab.txt")
    for word in LEXICON:
        assert cut_greedily(word, tokens) == tokenizer.tokenize(word)


LOSSES = {"ab": 5, "##ab": 2, "abab": 7 + 3}


def test_the_loss_of_a_piece_is_what_the_text_grows_by():
    vocabulary = {"a", "b", "##a", "##b", *LOSSES}
    frequencies = {"ab": 5, "abab": 7, "babb": 2, "ababb": 3, "bbb": 1}
    pieces = list(LOSSES)

    def length(known: set[str]) -> int:
        return sum(count * len(cut_greedily(word, known)) for word, count in frequencies.items())

    expected = {piece: length(vocabulary - {piece}) - length(vocabulary) for piece in pieces}
    assert losses(pieces, vocabulary, frequencies) == expected == LOSSES
    assert len(vocabulary) == 7, "left as it was"


def test_pruning_keeps_the_order_and_drops_what_is_not_used():
    fixed = ["a", "b", "c", "##a", "##b", "##c"]
    kept = prune(["##bc", "ab", "abc", "ca"], fixed, {"abc": 9, "ca": 15, "abb": 1}, 2, QUIET)
    assert kept == ["abc", "ca"]
    assert prune(["##bc", "ca", "abc"], fixed, {"abc": 9, "ca": 5}, 2, QUIET) == ["ca", "abc"], "ca is missed less"
    assert prune(["ab", "ca"], fixed, {"abc": 9}, 2, QUIET) == ["ab", "ca"], "nothing to take out"
    assert prune(["ab", "ca"], fixed, {"abc": 9}, 0, QUIET) == []
    assert prune(["ca", "ac", "bb"], fixed, {"abc": 9}, 2, QUIET) == ["ca", "ac"], "of equals the last one goes"


def test_pruning_judges_again_what_a_piece_is_worth_without_the_others():
    fixed = ["a", "x", "##b", "##c", "##d", "##y"]
    frequencies = {"abcd": 10, "xy": 15}
    assert losses(["abcd", "abc", "xy"], {*fixed, "abcd", "abc", "xy"}, frequencies) == {"abcd": 10, "abc": 0, "xy": 15}
    assert prune(["abcd", "abc", "xy"], fixed, frequencies, 1, QUIET) == ["abcd"], "30 without abc"


def test_surplus_pieces_make_the_text_shorter():
    def length(tokens: list[str]) -> int:
        return sum(len(cut_greedily(word, set(tokens))) for text in TEXTS for word in text.split())

    pure, pruned = (train(*TEXTS, size=60, surplus=surplus) for surplus in (0, 0.5))
    assert len(pure) == len(pruned) == 60 and length(pruned) < length(pure)


# ---- the vocabulary


def test_order_of_the_tokens():
    tokens = train_wordpiece(["b\u00e1b bab, ba!"] * 5, 16, unused=2, progress=False)
    assert tokens == [*SPECIAL, "[unused0]", "[unused1]", "!", ",", "a", "b", "##a", "##b", "ba", "bab"]


def test_merges_only_give_the_pieces_in_the_order_of_the_merges():
    words = Counter(word for text in TEXTS for word in text.split())
    expected = dict.fromkeys(text_of(merge) for merge in naive_merges(words, "likelihood", 2))
    tokens = train(*TEXTS, size=80, surplus=0)
    assert len(tokens) == 80 and longer(tokens) == list(expected)[: len(longer(tokens))] == tokens[-len(longer(tokens)) :]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_order_of_texts_and_their_borders_change_nothing(criterion):
    tokens = train(*TEXTS, size=60, criterion=criterion)
    for texts in (TEXTS, TEXTS[::-1], [" ".join(TEXTS)], (text for text in TEXTS)):
        assert train_wordpiece(texts, 60, special_tokens=(), progress=False, criterion=criterion) == tokens


def test_the_seed_of_hashing_changes_nothing():
    code = f"from convbert_np.tokenization.trainer import *; print(train_wordpiece({TEXTS!r}, 70, progress=False))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert printed == {f"{train_wordpiece(TEXTS, 70, progress=False)}\n"}


@given(st.lists(st.text("abcd \u00e9\u4e00.", max_size=20), max_size=8), st.integers(20, 60), st.sampled_from(list(CRITERIA)))
@settings(deadline=None)
def test_every_training_text_can_be_cut(texts, size, criterion):
    texts = [*texts, "a"]
    tokens = train(*texts, size=size, criterion=criterion)
    assert len(tokens) == len(set(tokens)) <= size
    for word in " ".join(texts).replace("\u00e9", "e").replace("\u4e00", " \u4e00 ").replace(".", " . ").split():
        assert "".join(piece.removeprefix("##") for piece in cut_greedily(word, tokens)) == word


def test_the_size_is_the_one_asked_for_as_long_as_there_are_pieces():
    for size in (50, 51, 67, 150):
        assert len(train(*TEXTS, size=size)) == size


def test_a_list_is_shorter_when_no_pair_is_left():
    assert train("ab ab", size=100) == ["a", "b", "##b", "ab"]
    assert train("ab", size=100) == ["a", "b", "##b"], "a pair that occurs once is not merged"
    assert train("ab", size=100, min_frequency=1) == ["a", "b", "##b", "ab"]


def test_when_merges_run_out_every_different_word_counts_once():
    frequencies = {"walking": 50, "talking": 20, "walked": 50}
    texts = [word for word, count in frequencies.items() for _ in range(count)]
    made = [text_of(merge) for merge in naive_merges(frequencies, "likelihood", 2)]
    more = [text_of(merge) for merge in naive_merges(dict.fromkeys(frequencies, 1), "likelihood", 2)]
    tokens = train(*texts, min_frequency=2)
    assert longer(tokens) == list(dict.fromkeys(made + more))
    assert set(more) - set(made), "the example is of no use"


def test_min_frequency_is_the_least_count_that_is_merged():
    texts = ["ab"] * 3 + ["cd"] * 2
    assert "cd" in train(*texts, min_frequency=2) and "cd" not in train(*texts, min_frequency=3)
    assert "ab" in train(*texts, min_frequency=3) and "ab" not in train(*texts, min_frequency=4)


def test_the_alphabet_is_the_most_frequent_characters():
    text = "db db db ca ca e ae"  # d and b 3 times, a 3, c 2, e 2
    assert [train(text, size=20, limit_alphabet=limit, min_frequency=9) for limit in (1, 2, 3, 4)] == [
        ["a"],
        ["a", "b"],
        ["a", "b", "d", "##b"],
        ["a", "b", "c", "d", "##a", "##b"],
    ]
    assert train(text, size=20, limit_alphabet=None)[:5] == ["a", "b", "c", "d", "e"]


def test_an_alphabet_may_fill_the_vocabulary():
    assert train("ab ab", size=3) == ["a", "b", "##b"]


def test_a_kept_character_can_begin_a_word_even_if_it_was_met_inside_words_only():
    assert train("ab ab")[:3] == ["a", "b", "##b"] and "##a" not in train("ab ab")


def test_words_of_more_than_100_characters_are_passed_over():
    assert train("a" * 100, min_frequency=1, size=4)[0] == "a"
    with pytest.raises(ValueError, match="texts hold no word"):
        train("a" * 101)


def test_texts_are_cut_as_the_tokenizer_cuts_them():
    text = "\u00c9t\u00e9\u4e00\u4e8c"
    assert set("ete\u4e00\u4e8c") == {token for token in train(text) if len(token) == 1}
    assert "\u00e9" in train(text, strip_accents=False)
    assert {"E", "##t", "##e"} <= set(train(text, do_lower_case=False, strip_accents=True))
    assert {"\u00c9", "##\u00e9"} <= set(train(text, do_lower_case=False))
    assert "##\u4e8c" in train(text, tokenize_chinese_chars=False) and "##\u4e8c" not in train(text)


def test_a_special_token_spelt_like_a_piece_stands_once_and_costs_no_place():
    plain = train(*TEXTS, size=90, surplus=0)
    piece = longer(plain)[3]
    tokens = train(*TEXTS, size=91, special_tokens=["[X]", piece, "w"], surplus=0)
    assert tokens[:3] == ["[X]", piece, "w"] and len(tokens) == len(set(tokens)) == 91
    assert longer(tokens) == ["[X]", piece, *(token for token in longer(plain) if token != piece)]


def test_a_function_is_told_of_every_stage():
    told = []
    tokens = train_wordpiece(TEXTS, 60, progress=lambda *state: told.append(state))
    wanted = 90 - sum(token in SPECIAL or len(token.removeprefix("##")) == 1 for token in tokens)
    final = {title: (done, total) for title, done, total in told}
    assert final == {"words": (80, 80), "merges": (wanted, wanted), "pruning": (4, 4)}
    train_wordpiece(["ab ab"], 20, progress=lambda *state: told.append(state))
    assert told[-3:] == [("merges", 1, 22), ("further merges", 0, 21), ("pruning", 4, 4)]


def test_progress_is_a_bar_on_a_terminal_nothing_or_a_function(monkeypatch):
    monkeypatch.setattr(sys, "stderr", StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert progress_bar(True)("x").show is True and progress_bar(False)("x").show is False
    train_wordpiece(TEXTS, 60, progress=False)
    assert sys.stderr.getvalue() == ""
    train_wordpiece(TEXTS, 60)
    assert all(title in sys.stderr.getvalue() for title in ("words 100%", "merges 100%", "pruning 100%"))


def test_nothing_is_written_where_stderr_is_no_terminal(capsys):
    train_wordpiece(TEXTS, 40)
    assert capsys.readouterr() == ("", "")


# ---- what is refused


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, r"texts must be an iterable of strings.*not str", {"texts": "one text"}),
        (TypeError, r"texts must be an iterable of strings.*not NoneType", {"texts": None}),
        (TypeError, r"texts\[1\] must be a string, not int", {"texts": ["a", 1]}),
        (ValueError, r"texts\[0\] has a lone surrogate", {"texts": ["\ud800"]}),
        (ValueError, r"texts hold no word", {"texts": []}),
        (ValueError, r"texts hold no word", {"texts": [" \n"]}),
        (TypeError, r"vocab_size must be an integer, not 10.0", {"vocab_size": 10.0}),
        (TypeError, r"vocab_size must be an integer, not True", {"vocab_size": True}),
        (ValueError, r"vocab_size must be at least 1, not 0", {"vocab_size": 0}),
        (ValueError, r"vocab_size must be at least 8, not 7: 5 special and unused tokens and 3 of", {"vocab_size": 7}),
        (ValueError, r"vocab_size must be at least 10, not 9: 7 special", {"vocab_size": 9, "unused": 2}),
        (ValueError, r"min_frequency must be at least 1, not 0", {"min_frequency": 0}),
        (ValueError, r"unused must be at least 0, not -1", {"unused": -1}),
        (ValueError, r"limit_alphabet must be at least 1, not 0", {"limit_alphabet": 0}),
        (TypeError, r"limit_alphabet must be an integer, not '1'", {"limit_alphabet": "1"}),
        (TypeError, r"do_lower_case must be True or False, not 1", {"do_lower_case": 1}),
        (TypeError, r"strip_accents must be True or False, not 'no'", {"strip_accents": "no"}),
        (TypeError, r"tokenize_chinese_chars must be True or False", {"tokenize_chinese_chars": None}),
        (ValueError, r"criterion must be one of likelihood, ratio, count, not 'bpe'", {"criterion": "bpe"}),
        (ValueError, r"criterion must be one of", {"criterion": ["count"]}),
        (TypeError, r"surplus must be a number, not '1'", {"surplus": "1"}),
        (TypeError, r"surplus must be a number, not True", {"surplus": True}),
        (ValueError, r"surplus must be from 0 to 10, not -0.1", {"surplus": -0.1}),
        (ValueError, r"surplus must be from 0 to 10, not nan", {"surplus": float("nan")}),
        (TypeError, r"progress must be True, False or a function, not 'yes'", {"progress": "yes"}),
        (TypeError, r"special_tokens must be a sequence of strings, not '\[PAD\]'", {"special_tokens": "[PAD]"}),
        (TypeError, r"special_tokens\[0\] must be a string, not 1", {"special_tokens": [1]}),
        (ValueError, r"special_tokens\[1\] must not be empty", {"special_tokens": ["[PAD]", ""]}),
        (ValueError, r"special_tokens must not have a line break: 'a\\nb'", {"special_tokens": ["a\nb"]}),
        (ValueError, r"special_tokens must be distinct", {"special_tokens": ["[X]", "[X]"]}),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        train_wordpiece(**{"texts": ["ab ab"], "vocab_size": 20, "progress": False, **arguments})
