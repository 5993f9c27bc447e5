"""Pre-training from documents: vocabulary, rows, model, held-out evaluation; both objectives."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.interface.models import ConvBertForMaskedLM
from convbert_np.interface.pretraining import ConvBertForMaskedPositions, ConvBertForPreTraining
from convbert_np.ops.softmax import softmax
from convbert_np.progress import Progress
from convbert_np.tokenization import ConvBertTokenizerFast
from convbert_np.training.corpus import Corpus, pack, parts_of_step
from convbert_np.training.loop import Record, Settings, train
from convbert_np.training.masking import BERT_MASKING, GENERATOR_MASKING, IGNORED, Masking
from convbert_np.training.parallel import Ranks

OBJECTIVES: dict[str, tuple[type[ConvBertPreTrainedModel], Masking]] = {
    "mlm": (ConvBertForMaskedPositions, BERT_MASKING),
    "rtd": (ConvBertForPreTraining, GENERATOR_MASKING),
}
EVALUATION_SEED = 5


def corpus_of(documents: Iterable[str], tokenizer: ConvBertTokenizerFast, length: int, progress: bool = True) -> Corpus:
    """The rows of ids of some documents. Raises ValueError if they hold no token, or if `length` is below 3."""
    texts = list(documents)

    def ids() -> Iterator[list[int]]:
        with Progress("tokens", len(texts), "documents", show=None if progress else False) as bar:
            for text in texts:
                yield tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
                bar.advance()

    special = tokenizer.convert_tokens_to_ids([tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token])
    rows = pack(ids(), length, *special)
    size = max(tokenizer.vocab.values()) + 1
    return Corpus(rows, tuple(sorted(set(tokenizer.all_special_ids))), tokenizer.mask_token_id, tokenizer.pad_token_id, size)


def pretrain(
    corpus: Corpus,
    config: ConvBertConfig,
    settings: Settings,
    *,
    objective: str = "mlm",
    batch_size: int = 32,
    accumulation: int = 1,
    seed: int = 0,
    held_out: Corpus | None = None,
    directory: str | os.PathLike[str] | None = None,
    dtype: Any = np.float32,
    progress: Progress | None = None,
    ranks: Ranks | None = None,
) -> tuple[ConvBertPreTrainedModel, Iterator[Record]]:
    """A fresh model and the steps of its pre-training: iterate over them to train it.

        model, records = pretrain(corpus, config, Settings(steps=1000, learning_rate=1e-3), directory="run")
        for record in records: ...

    objective     "mlm", masked language modelling with BERT's 80/10/10; "rtd", ConvBERT's replaced-token detection
    batch_size    rows per step, which are computed in `accumulation` parts
    seed          of the parameters, the order, the masks and the dropout
    held_out      rows for `evaluate`, every settings.evaluate_every steps
    directory     see `train`: a run that was killed goes on
    ranks         processes that share the parts of each batch, see parallel.py; there must be a part for each

    Raises ValueError naming the argument.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective: must be one of {', '.join(OBJECTIVES)}, got {objective!r}")
    if not 1 <= accumulation <= batch_size:
        raise ValueError(f"accumulation: must be between 1 and batch_size {batch_size}, got {accumulation}")
    if ranks is not None and accumulation < ranks.size:
        raise ValueError(f"accumulation: must be at least {ranks.size}, a part of the batch for each rank, got {accumulation}")
    if config.vocab_size < corpus.vocab_size or config.max_position_embeddings < corpus.rows.shape[1]:
        raise ValueError(
            f"config: vocab_size {config.vocab_size} and max_position_embeddings {config.max_position_embeddings} are too small "
            f"for ids below {corpus.vocab_size} in rows of {corpus.rows.shape[1]}"
        )
    kind, masking = OBJECTIVES[objective]
    model = kind(config, seed, dtype)
    about = {"objective": objective, "batch_size": batch_size, "accumulation": accumulation, "seed": seed}
    about |= {"config": config.to_dict(), "dtype": np.dtype(dtype).name, "corpus": corpus.fingerprint()}

    def parts_of(step: int):
        return parts_of_step(corpus, step, seed, batch_size, accumulation, masking)

    def evaluate_now(current: ConvBertPreTrainedModel) -> Mapping[str, float]:
        return evaluate(current, held_out, batch_size) if held_out is not None else {}

    check = None if held_out is None else evaluate_now
    return model, train(model, parts_of, settings, directory, evaluate=check, about=about, progress=progress, ranks=ranks)


def evaluate(model: ConvBertPreTrainedModel, corpus: Corpus | None, batch_size: int = 32) -> dict[str, float]:
    """How well a model does on held-out rows, with masks that are the same each time.

    masked_loss, masked_accuracy, perplexity (exp of the loss): of the masked tokens, which a masked LM or the generator guesses;
    BERT's masks for the former, the generator's for the latter. With a discriminator also detection_loss, detection_accuracy
    (of all tokens), detection_recall and detection_precision (of the replaced ones).
    """
    if corpus is None:
        raise ValueError("corpus: there are no rows to evaluate on")
    masking = GENERATOR_MASKING if isinstance(model, ConvBertForPreTraining) else BERT_MASKING
    if isinstance(model, ConvBertForMaskedLM) and not isinstance(model, ConvBertForMaskedPositions):
        model = at_masked_positions(model)
    sums: dict[str, float] = dict.fromkeys(
        ("masked", "loss", "right", "tokens", "detection", "agree", "fake", "found", "said"), 0.0
    )
    for begin in range(0, len(corpus.rows), batch_size):
        rng = np.random.default_rng((EVALUATION_SEED, begin))
        inputs = corpus.inputs_of(corpus.rows[begin : begin + batch_size], rng, masking)
        out = model(**inputs, rng=rng, keep_cache=False)
        for name, value in counts_of(out, inputs).items():
            sums[name] += value
    loss = sums["loss"] / sums["masked"]
    found = {"masked_loss": loss, "masked_accuracy": sums["right"] / sums["masked"], "perplexity": float(np.exp(min(loss, 700)))}
    if not isinstance(model, ConvBertForPreTraining):
        return found
    return found | {
        "detection_loss": sums["detection"] / sums["tokens"],
        "detection_accuracy": sums["agree"] / sums["tokens"],
        "detection_recall": sums["found"] / max(1, sums["fake"]),
        "detection_precision": sums["found"] / max(1, sums["said"]),
    }


def counts_of(out: Any, inputs: Mapping[str, Any]) -> dict[str, float]:
    """What `evaluate` sums up, of one batch."""
    labels = inputs["labels"][inputs["labels"] != IGNORED]
    detects = "discriminator_logits" in out
    logits, loss = (out.generator_logits, out.generator_loss) if detects else (out.logits, out.loss)
    counts: dict[str, Any] = {"masked": len(labels), "right": np.sum(np.argmax(logits, axis=-1) == labels)}
    counts["loss"] = loss * len(labels) if len(labels) else 0.0
    if detects:
        kept = inputs.get("attention_mask", np.ones(out.is_fake.shape)) > 0
        said, fake = out.discriminator_logits[kept] > 0, out.is_fake[kept]
        counts |= {"tokens": len(fake), "detection": out.discriminator_loss * len(fake), "agree": np.sum(said == fake)}
        counts |= {"fake": np.sum(fake), "found": np.sum(said & fake), "said": np.sum(said)}
    return {name: float(value) for name, value in counts.items()}


def at_masked_positions(model: ConvBertForMaskedLM) -> ConvBertForMaskedPositions:
    """The same masked language model, whose head looks at the masked positions alone; its parameters are the model's own."""
    lean = ConvBertForMaskedPositions.__new__(ConvBertForMaskedPositions)
    lean.config, lean.params = model.config, model.params
    return lean


def finished(model: ConvBertPreTrainedModel) -> ConvBertPreTrainedModel:
    """What is saved of a pre-trained model: the ConvBertForMaskedLM, or the ConvBertForPreTraining as it is."""
    return model.masked_lm() if isinstance(model, ConvBertForMaskedPositions) else model


def fill_mask(
    text: str, model: ConvBertForMaskedLM, tokenizer: Any, top: int = 5
) -> list[tuple[int, Sequence[tuple[str, float]]]]:
    """For each [MASK] of a text its position among the tokens and the most probable tokens there, with their probabilities.

    Raises ValueError if the text has no [MASK], or is too long for the model.
    """
    encoding = tokenizer(text, return_tensors="np")
    ids = encoding["input_ids"]
    places = np.flatnonzero(ids[0] == tokenizer.mask_token_id)
    if not len(places):
        raise ValueError(f"text: has no {tokenizer.mask_token} to fill in")
    if ids.shape[1] > model.config.max_position_embeddings:
        raise ValueError(f"text: has {ids.shape[1]} tokens, the model takes at most {model.config.max_position_embeddings}")
    probs, _ = softmax(model(**encoding, keep_cache=False).logits[0, places])
    best = np.argsort(-probs, axis=-1, kind="stable")[:, :top]
    named = [
        [(tokenizer.convert_ids_to_tokens(int(i)), float(row[i])) for i in ids] for row, ids in zip(probs, best, strict=True)
    ]
    return list(zip(places.tolist(), named, strict=True))
