"""The training loop: it learns, it can be killed, it stops at what is not finite; and the data it sees."""

import numpy as np
import pytest
from small import SMALL, inputs_for, make

import convbert_np as cb
from convbert_np.interface import pretraining
from convbert_np.interface.pretraining import ConvBertForMaskedPositions, ConvBertForPreTraining
from convbert_np.training.corpus import (
    Corpus,
    documents_of,
    held_out,
    order_of_epoch,
    pack,
    parts_of_step,
    rows_of_step,
)
from convbert_np.training.loop import NotFinite, Settings, finish, gradients, train
from convbert_np.training.masking import BERT_MASKING, GENERATOR_MASKING
from convbert_np.training.optimizer import BERT, PYTORCH, adamw, new_moments
from convbert_np.training.schedule import bert_schedule
from convbert_np.training.state import CHECKPOINT, read_log

SEED = 11


def corpus(rows=23, length=9):
    ids = np.random.default_rng(1).integers(5, 31, (rows, length)).astype(np.int32)
    ids[:, 0], ids[:, -1] = 2, 3
    return Corpus(ids, (0, 1, 2, 3, 4), 4, 0, 31)


def small_model(kind=ConvBertForMaskedPositions, dtype=np.float32):
    return kind(cb.ConvBertConfig(**(SMALL | {"generator_hidden_size": 0.5, "pad_token_id": 0})), seed=3, dtype=dtype)


def parts(step, number=1, masking=BERT_MASKING):
    return list(parts_of_step(corpus(), step, SEED, 6, number, masking))


# Data.


def test_documents_end_at_blank_lines():
    assert list(documents_of(["", "a b", " c ", "  ", "", "d", "e"])) == ["a b c", "d e"]
    assert list(documents_of([])) == []


def test_packing_keeps_every_token_in_order():
    documents = [[10, 11, 12], [13], [14, 15, 16, 17, 18, 19, 20], [21, 22]]
    rows = pack(documents, 6, 2, 3, 0)
    np.testing.assert_array_equal(
        rows, [[2, 10, 11, 12, 3, 3], [2, 13, 3, 14, 15, 3], [2, 16, 17, 18, 19, 3], [2, 20, 3, 21, 22, 3]]
    )
    np.testing.assert_array_equal(pack([[10, 11]], 8, 2, 3, 0), [[2, 10, 11, 3, 0, 0, 0, 0]])
    for documents, length, message in (([], 6, "documents: hold no token"), ([[1]], 2, "length: must be at least 3")):
        with pytest.raises(ValueError, match=message):
            pack(documents, length, 2, 3, 0)


def test_an_epoch_sees_every_row_once_in_a_new_order():
    seen = np.concatenate([rows_of_step(23, SEED, step, 6) for step in range(23)])  # 138 places: six epochs
    for epoch in range(6):
        np.testing.assert_array_equal(np.sort(seen[23 * epoch : 23 * (epoch + 1)]), np.arange(23))
        np.testing.assert_array_equal(seen[23 * epoch : 23 * (epoch + 1)], order_of_epoch(23, SEED, epoch))
    assert np.any(order_of_epoch(23, SEED, 0) != order_of_epoch(23, SEED, 1))
    assert np.any(order_of_epoch(23, SEED, 0) != order_of_epoch(23, SEED + 1, 0))
    assert len(rows_of_step(4, SEED, 0, 30)) == 30


def test_held_out_documents():
    documents = [f"d{i}" for i in range(40)]
    kept, out = held_out(documents, 0.1, 5)
    assert len(out) == 4 and sorted(kept + out) == sorted(documents) and kept == sorted(kept, key=documents.index)
    assert held_out(documents, 0.1, 5) == (kept, out) != held_out(documents, 0.1, 6)
    for share, number, message in ((0.0, 9, "must be a share"), (1.0, 9, "must be a share"), (0.9, 1, "leaves none to train on")):
        with pytest.raises(ValueError, match=f"held_out: .*{message}"):
            held_out(documents[:number], share, 0)


def test_a_step_depends_on_its_number_alone():
    for one, other in zip(parts(3, 2), parts(3, 2), strict=True):
        assert one.seed == other.seed and one.shares == other.shares
        for name, value in one.inputs.items():
            np.testing.assert_array_equal(value, other.inputs[name])
    assert np.any(parts(3)[0].inputs["input_ids"] != parts(4)[0].inputs["input_ids"])
    for name in ("loss", "generator_loss", "discriminator_loss"):
        assert sum(part.shares[name] for part in parts(3, 4)) == pytest.approx(1, abs=1e-15)
    padded = corpus()._replace(rows=pack([[10, 11, 12]], 9, 2, 3, 0))
    (part,) = parts_of_step(padded, 0, SEED, 2, 1, BERT_MASKING)
    np.testing.assert_array_equal(part.inputs["attention_mask"], [[1, 1, 1, 1, 1, 0, 0, 0, 0]] * 2)
    assert corpus().fingerprint() == corpus().fingerprint() != corpus(22).fingerprint()
    assert corpus().fingerprint() != corpus()._replace(mask_token_id=5).fingerprint()


# The model of the masked positions.


def test_the_masked_positions_alone_give_the_same():
    full = make("masked_lm")
    lean = ConvBertForMaskedPositions(full.config, dtype=np.float64)
    lean.load_state_dict(full.state_dict())
    given = inputs_for("masked_lm", full, 3, 7) | {"training": True, "rng": 2}
    given["labels"][:, ::2] = -100
    one, other = full(**given), lean(**given)
    np.testing.assert_allclose(other.loss, one.loss, rtol=1e-14)
    np.testing.assert_allclose(other.logits, one.logits[given["labels"] != -100], rtol=1e-12)
    want, got = full.backward(one), lean.backward(other)
    for name, g in want.items():
        np.testing.assert_allclose(got[name], g, rtol=1e-10, atol=1e-13 * np.linalg.norm(g) + 1e-16)
    cb.check_model_gradients(lean, given).raise_if_wrong()
    cb.trace(other)
    assert lean.masked_lm().params is lean.params
    with pytest.raises(ValueError, match="labels: this model looks at positions with a label only"):
        lean(given["input_ids"])


# The loop.


@pytest.mark.parametrize(
    ("kind", "masking"), [(ConvBertForMaskedPositions, BERT_MASKING), (ConvBertForPreTraining, GENERATOR_MASKING)]
)
@pytest.mark.parametrize(("optimizer", "constants"), [("bert", BERT), ("pytorch", PYTORCH)])
def test_a_step_is_what_it_says(kind, masking, optimizer, constants):
    settings = Settings(4, 0.01, 2, "bert", optimizer, 0.1, 0.5, 0.8)
    model, other = small_model(kind, np.float64), small_model(kind, np.float64)
    records = list(train(model, lambda step: parts(step, 2, masking), settings))
    moments = new_moments(other.named_parameters())
    for step in range(4):
        grads: dict = {}
        loss = 0.0
        for part in parts(step, 2, masking):
            out = other(**part.inputs, training=True, rng=np.random.default_rng(part.seed))
            cotangents = {"loss": part.shares["loss"]}
            if kind is ConvBertForPreTraining:
                cotangents = {"generator_loss": part.shares["loss"], "discriminator_loss": 50 * part.shares["discriminator_loss"]}
            loss += sum(weight * out[name] for name, weight in cotangents.items())
            for name, g in other.backward(out, cotangents).items():
                grads[name] = grads.get(name, 0.0) + g
        norm = np.sqrt(sum(np.sum(g * g) for g in grads.values()))
        lr = 0.01 * bert_schedule(step, 4, 2)
        assert records[step]["step"] == step + 1 and records[step]["lr"] == lr
        np.testing.assert_allclose([records[step]["loss"], records[step]["norm"]], [loss, norm], rtol=1e-12)
        clipped = {name: g * min(1, 0.5 / (norm + 1e-6)) for name, g in grads.items()}
        depth = {n: 0 if "embeddings" in n else int(n.split("layer.")[1][0]) + 1 if ".layer." in n else 4 for n in grads}
        factors = {name: 0.8 ** (4 - depth[name]) for name in grads}
        adamw(other.named_parameters(), clipped, moments, step + 1, lr, constants._replace(weight_decay=0.1), lr_factors=factors)
    for name, p in other.named_parameters().items():
        np.testing.assert_allclose(model.named_parameters()[name], p, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", [ConvBertForMaskedPositions, ConvBertForPreTraining])
def test_the_parts_of_a_batch_add_up_to_the_whole(kind, monkeypatch):
    """Rows of different lengths with different numbers of masked tokens: each loss is a mean over other tokens."""
    monkeypatch.setattr(pretraining, "gumbel_sample", lambda logits, rng: np.argmax(logits, axis=-1))  # the noise is the part's
    fields = SMALL | {"generator_hidden_size": 0.5, "pad_token_id": 0, "max_position_embeddings": 40}
    fields |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = kind(cb.ConvBertConfig(**fields), seed=3, dtype=np.float64)
    ids = np.random.default_rng(1).integers(5, 31, (7, 38)).astype(np.int32)
    ids[np.arange(38) >= np.array([38, 7, 20, 38, 9, 30, 12])[:, None]] = 0
    ids[:, 0], ids[4, 3:30] = 2, 3
    rows = Corpus(ids, (0, 1, 2, 3, 4), 4, 0, 31)
    masking = GENERATOR_MASKING if kind is ConvBertForPreTraining else BERT_MASKING
    whole, *others = ([*parts_of_step(rows, 2, SEED, 7, number, masking)] for number in (1, 3, 7))
    want, losses = gradients(model, whole)
    assert losses.keys() == {"loss", *kind.loss_weights} and not {1 / 7} & {part.shares["loss"] for part in others[1]}
    for some in others:
        got, found = gradients(model, some)
        assert found == pytest.approx(losses, rel=1e-12)
        for name, g in want.items():
            np.testing.assert_allclose(got[name], g, rtol=1e-9, atol=1e-12 * np.linalg.norm(g) + 1e-15, err_msg=name)


def test_it_learns():
    model = small_model()
    first, *_, last = train(model, lambda step: parts(step % 2), Settings(150, 0.01, 10, max_norm=None))
    assert first["loss"] == pytest.approx(np.log(31), abs=0.3) and last["loss"] < 0.4 * first["loss"]


def test_log_evaluation_and_checkpoints(tmp_path):
    settings = Settings(7, 0.01, evaluate_every=3, save_every=4)
    model, seen = small_model(), []

    def evaluate(current):
        assert current is model
        seen.append(len(read_log(tmp_path)))
        return {"accuracy": 0.5}

    for record in train(model, parts, settings, tmp_path, evaluate=evaluate):
        assert (tmp_path / CHECKPOINT).exists() == (record["step"] >= 4)
    log = read_log(tmp_path)
    assert [record["step"] for record in log] == list(range(1, 8)) and seen == [2, 5, 6]
    assert [record["step"] for record in log if "evaluation" in record] == [3, 6, 7]
    assert finish(train(small_model(), parts, settings, tmp_path)) == {}  # there is nothing left to do


@pytest.mark.parametrize("stop", [1, 3, 4, 5])
def test_stopped_and_resumed_ends_the_same(tmp_path, stop):
    settings = Settings(7, 0.01, 2, save_every=2)
    whole = small_model()
    list(train(whole, lambda step: parts(step, 2), settings))
    for record in train(small_model(), lambda step: parts(step, 2), settings, tmp_path):
        if record["step"] == stop:
            break
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 9, "lo')  # killed while writing
    resumed = small_model()
    for p in resumed.named_parameters().values():
        p += 1  # whatever they are, the checkpoint's are taken, if there is one
    if stop == 1:
        resumed = small_model()
    records = list(train(resumed, lambda step: parts(step, 2), settings, tmp_path))
    assert records[0]["step"] == stop // 2 * 2 + 1
    for name, p in whole.named_parameters().items():
        np.testing.assert_array_equal(resumed.named_parameters()[name], p)
    assert [record["step"] for record in read_log(tmp_path)] == list(range(1, 8))


def test_other_settings_do_not_resume(tmp_path):
    finish(train(small_model(), parts, Settings(2, 0.01), tmp_path, about={"corpus": "a"}))
    with pytest.raises(ValueError, match=r"learning_rate: is 0.02, but the run in .* was started with 0.01"):
        finish(train(small_model(), parts, Settings(2, 0.02), tmp_path, about={"corpus": "a"}))
    with pytest.raises(ValueError, match="corpus: is 'b', but"):
        finish(train(small_model(), parts, Settings(2, 0.01), tmp_path, about={"corpus": "b"}))
    with pytest.raises(ValueError, match=r"are not those of this model"):
        finish(train(small_model(ConvBertForPreTraining), parts, Settings(2, 0.01), tmp_path, about={"corpus": "a"}))


def test_what_is_not_finite_stops_it_before_the_step():
    model = small_model()
    wide = model.params["convbert"]["encoder"]["layer"]["1"]["intermediate"]["dense"]
    wide["weight"][...] = 3e38
    before = {name: p.copy() for name, p in model.named_parameters().items()}
    with np.errstate(all="ignore"), pytest.raises(NotFinite) as caught:
        list(train(model, parts, Settings(2, 0.01)))
    error = caught.value
    assert error.step == 1 and error.name == "convbert.encoder.layer.1.intermediate.dense.y"
    np.testing.assert_array_equal(error.inputs["input_ids"], parts(0)[0].inputs["input_ids"])
    assert "step 1: the loss is not finite; the first value that is not is convbert.encoder.layer.1" in str(error)
    for name, p in model.named_parameters().items():
        np.testing.assert_array_equal(p, before[name])
    model = small_model()
    model.params["generator_lm_head"]["bias"][3] = np.nan
    with pytest.raises(NotFinite, match=r"generator_lm_head.bias; the batch's input_ids are \[\[ 2,13,"):
        gradients(model, parts(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: must be an integer of at least 1"),
        ({"schedule": "cosine"}, "schedule: must be one of linear, bert, constant"),
        ({"optimizer": "sgd"}, "optimizer: must be one of pytorch, bert"),
        ({"learning_rate": float("nan")}, "learning_rate: must be finite"),
        ({"warmup_steps": 9}, "warmup_steps: must be between 0 and total_steps"),
        ({"max_norm": -1.0}, "max_norm: must be finite and not negative"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        Settings(**({"steps": 5, "learning_rate": 0.1} | change))
