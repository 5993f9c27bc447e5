"""Definitions of WordNet to categories: reader, split, naive Bayes, and the whole command on a small package."""

import hashlib
import json
from fractions import Fraction

import numpy as np
import pytest
from test_recipes import deb

import convbert_np as cb
from convbert_np.recipes import wordnet
from convbert_np.recipes.naive_bayes import classify, naive_bayes, words_of
from convbert_np.recipes.wordnet import Definition, Score, definitions_of, split_of, table

DATA = """  1 This software and database | is provided; "to you"
00000001 05 n 01 dog 0 001 @ 00000002 n 0000 | a member of the genus Canis; barks; "the dog barked | all night"
00000002 06 n 02 bank 0 vault 0 000 | a container (usually with a slot)
00000003 04 n 01 walk 0 000 | the act of walking
00000004 13 n 01 soup 0 000 | liquid food; "soup"; "broth"
00000005 18 n 01 Dogberry 0 000 | A member of the genus Canis; barks
"""
KINDS = {5: ("animal", "fur tail paw claw"), 6: ("artifact", "steel wheel lever screw"), 13: ("food", "bread soup sweet baked")}


def made_up(number=240):
    """Lines of categories that their words give away."""
    rng = np.random.default_rng(0)
    for i in range(number):
        category = (5, 6, 13)[i % 3]
        words = " ".join(rng.choice(KINDS[category][1].split(), 4)) + f" {i}"
        yield f'{i:08} {category:02} n 01 thing_{i} 0 000 | {words}; an odd one; "like {i}"  '


def test_definitions_without_words_and_examples():
    assert list(definitions_of(DATA)) == [
        Definition("00000001", "a member of the genus Canis; barks", "animal"),
        Definition("00000002", "a container (usually with a slot)", "artifact"),
        Definition("00000004", "liquid food", "food"),
    ]


def test_the_split_follows_from_the_offset_alone():
    definitions = [Definition(f"{7 * i:08}", f"text {i}", "food") for i in range(3000)]
    splits = split_of(definitions)
    assert sorted([*splits.train, *splits.development, *splits.test]) == sorted(definitions)
    assert [len(part) / 3000 for part in splits] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    for tens, part in ((0, splits.test), (1, splits.development)):
        assert all(int(hashlib.sha256(each.offset.encode()).hexdigest(), 16) % 10 == tens for each in part)
    fewer = split_of(reversed(definitions[::2]))
    for part, whole in zip(fewer, splits, strict=True):
        assert set(part) == set(definitions[::2]) & set(whole) and [each for each in whole if each in set(part)] == part
    places = [definitions.index(each) for each in splits.train[:400]]
    assert 1200 < np.mean(places) < 1800  # the first are from everywhere


def test_naive_bayes_counts_as_by_hand():
    texts, labels = ["A cat, a dog", "the dog", "a car", "cat"], ["x", "x", "y", "y"]
    model = naive_bayes(texts, labels, smoothing=0.5)
    assert words_of("A cat's 2 Eyes") == ["a", "cat", "s", "2", "eyes"]
    assert list(model.words) == ["a", "car", "cat", "dog", "the"] and model.classes == ("x", "y")
    half = Fraction(1, 2)
    counts = {"x": [2, 0, 1, 2, 1], "y": [1, 1, 1, 0, 0]}
    for row, label in enumerate(model.classes):
        total = sum(counts[label]) + 5 * half
        np.testing.assert_allclose(
            np.exp(model.log_likelihood[row]), [float((n + half) / total) for n in counts[label]], rtol=1e-14
        )
    np.testing.assert_allclose(np.exp(model.log_prior), [0.5, 0.5])
    assert classify(model, ["dog dog car", "car a", "unknown", "the the car car car"]) == ["x", "y", "x", "y"]
    unequal = naive_bayes(["a", "b", "b"], ["x", "y", "y"])
    assert classify(unequal, ["", "never seen"]) == ["y", "y"]  # the prior alone
    with pytest.raises(ValueError, match="labels: must be one for each of at least one text, got 1 for 2"):
        naive_bayes(["a", "b"], ["x"])


def test_the_table():
    found = table({"words": [Score(0.5, 0.25)], "model": [Score(0.5, 0.1), Score(0.75, 0.2), Score(0.7, 0.3)]}).splitlines()
    assert found[2:] == ["| words | 0.5000 |  | 0.2500 |  |", "| model | 0.6500 | 0.5000 to 0.7500 | 0.2000 | 3 |"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model with a vocabulary of the made-up definitions."""
    folder = tmp_path_factory.mktemp("model")
    tokens = cb.train_wordpiece([each.text for each in definitions_of("\n".join(made_up()))], 90, progress=False)
    cb.write_vocabulary(tokens, folder / "vocab.txt")
    sizes = {"hidden_size": 24, "embedding_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    more = {
        "vocab_size": len(tokens),
        "max_position_embeddings": 48,
        "pad_token_id": 0,
        "hidden_dropout_prob": 0.0,
    }
    more |= {"attention_probs_dropout_prob": 0.0}
    cb.ConvBertForMaskedLM(cb.ConvBertConfig(**sizes, **more), seed=1).save_pretrained(folder)
    return folder


def test_the_command(model, tmp_path, capsys):
    package, out = tmp_path / "wordnet.deb", tmp_path / "out"
    deb(package, {wordnet.NOUNS: "\n".join(made_up()).encode()})
    arguments = [str(package), "--model", str(model), "--out", str(out), "--train", "150", "--quiet", "--seeds", "2"]
    arguments += ["--epochs", "14", "--rate", "0.005", "--random-rate", "0.005"]
    assert wordnet.main(arguments) == 0
    told = capsys.readouterr().out
    written = (out / "table.md").read_text()
    assert told.endswith(written) and "150 of " in told
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in written.splitlines()[2:]}
    assert [name.split(",")[0] for name in rows] == ["naive Bayes", "naive Bayes", "random weights", "fine-tuned"]
    assert all(float(cells[1]) > (0.9 if "Bayes" in name else 0.6) for name, cells in rows.items()), written  # chance: a third
    logs = {path.parent.name: json.loads(path.read_text().splitlines()[-1]) for path in out.glob("*/log.jsonl")}
    assert sorted(logs) == ["fine-tuned-0", "fine-tuned-1", "random-weights-0", "random-weights-1"]
    assert len({log["loss"] for log in logs.values()}) == 4
    mean = np.mean([logs[f"fine-tuned-{seed}"]["evaluation"]["accuracy"] for seed in range(2)])
    assert rows["fine-tuned"][1] == f"{mean:.4f}"
    assert wordnet.main(arguments) == 0 and capsys.readouterr().out == told  # all read from the logs


def test_another_package_is_refused(tmp_path):
    deb(tmp_path / "other.deb", {"usr/share/doc/readme": b"text"})
    with pytest.raises(ValueError, match=r"package: .*other\.deb has no usr/share/wordnet/data\.noun"):
        wordnet.main([str(tmp_path / "other.deb"), "--out", str(tmp_path / "out")])
    with pytest.raises(ValueError, match="seeds: must be at least 1, got 0"):
        wordnet.main([str(tmp_path / "other.deb"), "--out", str(tmp_path / "out"), "--seeds", "0"])
