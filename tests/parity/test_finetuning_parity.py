"""Fine-tuned models in transformers, and answers judged by its SQuAD metrics."""

import json

import numpy as np
import pytest

import convbert_np as cb
from convbert_np.data import TINY
from convbert_np.metrics.answers import answer_scores, exact_match, normalized, word_f1
from convbert_np.tasks import Answer, Choice, Question, Questions, Sentence, Text, Tokens
from convbert_np.tasks.batches import batch_of
from convbert_np.tasks.predictor import Predictor, tokenized
from convbert_np.training.finetuning import finetune
from convbert_np.training.loop import Settings, finish

pytestmark = pytest.mark.parity
EXAMPLES = {
    "classification": [Text("the his our", "you now", "yes"), Text("our", None, "no"), Text("come", None, "perhaps")],
    "tokens": [Sentence(("the", "cats", "sat"), ("O", "B-X", "O")), Sentence(("his",), ("B-X",))],
    "questions": [Question("1", "who ?", "the his our", (Answer("his", 4),)), Question("2", "you ?", "now", ())],
    "choices": [Choice("the his", ("our", "you now"), "come", 1), Choice("our", ("his", "the"), "", 0)],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_transformers_loads_a_fine_tuned_model_and_gives_the_same_outputs(name, tmp_path):
    import torch
    import transformers

    tokenizer = cb.ConvBertTokenizerFast.from_pretrained(TINY)
    config = cb.ConvBertConfig(
        vocab_size=len(tokenizer), hidden_size=24, embedding_size=16, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=20, pad_token_id=0, max_position_embeddings=32,
    )  # fmt: skip
    model, records = finetune(
        name, EXAMPLES[name], config, Settings(5, 1e-2), tokenizer=tokenizer, batch_size=3, dtype=np.float64
    )
    finish(records)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    predictor = Predictor.from_pretrained(tmp_path, dtype=np.float64)
    theirs = getattr(transformers, type(model).__name__).from_pretrained(tmp_path, torch_dtype=torch.float64).eval()
    assert theirs.config.id2label == model.config.id2label
    assert theirs.config.task_specific_params == json.loads(json.dumps(model.config.task_specific_params))
    rows = tokenized(predictor.task, EXAMPLES[name], predictor.tokenizer, True)
    batch = batch_of(rows, 0)
    assert "attention_mask" in batch
    ours = predictor.model(**batch)
    with torch.no_grad():
        out = theirs(**{key: torch.from_numpy(value) for key, value in batch.items()})
    for key in ("loss", *model.outputs):
        assert np.asarray(ours[key]) == pytest.approx(out[key].numpy(), rel=1e-9, abs=1e-12), key
    own = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "The cats, sat: his MOONLIGHT"
    assert own(text)["input_ids"] == predictor.tokenizer(text)["input_ids"]


@pytest.mark.parametrize("seed", range(30))
def test_windows_and_labels_are_those_of_overflowing_tokens(seed):
    """The way of the reference's examples: windows by the tokenizer, positions searched for by their offsets."""
    import transformers

    rng = np.random.default_rng(seed)
    theirs = transformers.ConvBertTokenizerFast(str(TINY / "vocab.txt"))
    words = rng.choice(["the", "cats", "moonlight,", "his", "(our)", "É", "you"], int(rng.integers(1, 70))).tolist()
    first, last = np.sort(rng.integers(0, len(words), 2)).tolist()
    answer = Answer(" ".join(words[first : last + 1]), len(" ".join(words[:first])) + (first > 0))
    question = Question("1", "who sat there?", " ".join(words), (answer,))
    task = Questions(length=int(rng.integers(20, 40)), stride=int(rng.integers(0, 7)))
    rows = task.rows([question], cb.ConvBertTokenizerFast.from_pretrained(TINY), True)
    encoding = theirs(
        question.question, question.context, truncation="only_second", max_length=task.length, stride=task.stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    assert [row.inputs["input_ids"] for row in rows] == encoding["input_ids"]
    assert [row.inputs["token_type_ids"] for row in rows] == encoding["token_type_ids"]
    begin, end = answer.start, answer.start + len(answer.text)
    for number, row in enumerate(rows):
        context = [at for at, which in enumerate(encoding.sequence_ids(number)) if which == 1]
        offsets = encoding["offset_mapping"][number]
        start = max((at for at in context if offsets[at][0] <= begin), default=None)
        stop = min((at for at in context if offsets[at][1] >= end), default=None)
        expected = (0, 0) if start is None or stop is None else (start, stop)
        assert (row.inputs["start_positions"], row.inputs["end_positions"]) == expected


def test_pieces_have_the_labels_of_their_words():
    """The way of the reference's examples: by word_ids."""
    import transformers

    rng = np.random.default_rng(0)
    theirs = transformers.ConvBertTokenizerFast(str(TINY / "vocab.txt"))
    ours = cb.ConvBertTokenizerFast.from_pretrained(TINY)
    for _ in range(50):
        words = rng.choice(
            ["the", "cats", "moonlight", "his", "\u200b", "(our)", "É", "you're"], int(rng.integers(1, 20))
        ).tolist()
        tags = rng.choice(["O", "B-X", "I-X"], len(words)).tolist()
        task = Tokens(labels=("O", "B-X", "I-X"), length=200)
        (row,) = task.rows([Sentence(tuple(words), tuple(tags))], ours, True)
        encoding = theirs(words, is_split_into_words=True)
        labels, before = [], None
        for word in encoding.word_ids():
            labels.append(-100 if word is None or word == before else task.labels.index(tags[word]))
            before = word
        assert row.inputs["input_ids"] == encoding["input_ids"] and row.inputs["labels"] == labels


def test_answers_are_judged_as_by_the_reference():
    from transformers import SquadExample
    from transformers.data.metrics import squad_metrics

    rng = np.random.default_rng(0)
    words = ["the", "The", "a", "an", "cat", "Cat,", "(dog)", "U.S.", "naïve", "—", "...", "3.5", "theater", " "]
    texts = [" ".join(rng.choice(words, rng.integers(0, 5))) for _ in range(400)]
    for true, said in zip(texts, texts[7:] + texts[:7], strict=True):
        assert normalized(true) == squad_metrics.normalize_answer(true)
        assert exact_match(true, said) == squad_metrics.compute_exact(true, said)
        assert word_f1(true, said) == pytest.approx(squad_metrics.compute_f1(true, said), rel=1e-12)
    golds = [[] if rng.random() < 0.3 else rng.choice(texts, rng.integers(1, 4)).tolist() for _ in range(300)]
    said = [str(rng.choice(each)) if each and rng.random() < 0.5 else str(rng.choice(["", *texts])) for each in golds]
    found = answer_scores(golds, said)
    examples = [
        SquadExample(str(number), "", "", None, None, "", [{"text": text} for text in each], not each)
        for number, each in enumerate(golds)
    ]
    theirs = squad_metrics.squad_evaluate(examples, {str(n): text for n, text in enumerate(said)})
    assert 100 * found["exact_match"] == pytest.approx(theirs["exact"]) and 100 * found["f1"] == pytest.approx(theirs["f1"])
