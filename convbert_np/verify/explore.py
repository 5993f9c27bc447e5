"""One sentence through a masked language model and back: tokens, values, gradients, loss, predictions."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from convbert_np.files import atomic_write
from convbert_np.interface.models import ConvBertForMaskedLM
from convbert_np.interface.output import ModelOutput
from convbert_np.ops.softmax import softmax
from convbert_np.tokenization import ConvBertTokenizer
from convbert_np.verify.table import Table
from convbert_np.verify.trace import Trace, trace

IGNORED = -100


@dataclass(frozen=True)
class Exploration:
    """All that one sentence gave: the tokens and their labels, the output, every gradient, the trace, and what the loss is of."""

    tokens: list[str]
    input_ids: np.ndarray
    labels: np.ndarray
    objective: str
    output: ModelOutput
    grads: dict[str, np.ndarray]
    trace: Trace
    predictions: list[dict[str, Any]]

    def token_table(self) -> Table:
        """position, token, id, and the label where there is one."""
        rows = []
        for position, (token, number, label) in enumerate(zip(self.tokens, self.input_ids[0], self.labels[0], strict=True)):
            rows.append([str(position), token, str(number), "" if label == IGNORED else str(label)])
        return Table(["position", "token", "id", "label"], rows, right=(0, 2, 3))

    def prediction_table(self) -> Table:
        """For every position that was asked about, the most probable tokens."""
        rows = []
        for prediction in self.predictions:
            best = ", ".join(f"{token} {probability or float('nan'):.1%}" for token, probability in prediction["top"])
            rows.append([str(prediction["position"]), prediction["token"], best])
        return Table(["position", "token", "most probable"], rows, right=(0,))

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain lists and numbers, for JSON."""
        values = [
            {
                "name": value.name,
                "other_names": value.aliases,
                "shape": list(value.value.shape),
                "axes": value.axes,
                "equation": value.equation,
                "statistics": {name: number if np.isfinite(number) else None for name, number in value.statistics.items()},
                "value": plain(value.value),
                "gradient": None if value.gradient is None else plain(value.gradient),
            }
            for value in self.trace
        ]
        shown = {value.name for value in self.trace}
        return {
            "tokens": self.tokens,
            "input_ids": self.input_ids[0].tolist(),
            "labels": self.labels[0].tolist(),
            "objective": self.objective,
            "loss": plain(self.output.loss),
            "predictions": self.predictions,
            "values": values,
            "gradients": {name: plain(self.grads[name]) for name in self.grads if name not in shown},
        }

    def write_json(self, stream: IO[str]) -> None:
        """Write `as_dict` as JSON; what is not finite is null."""
        stream.write(json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file, whole or not at all: tokens, input_ids, labels, loss, values/<name> and grads/<name>.

        A value that has several names is stored under the first; `other_names` has rows of (another name, the first).
        """
        others = [(alias, value.name) for value in self.trace for alias in value.aliases]
        arrays = {f"values/{value.name}": value.value for value in self.trace}
        arrays |= {f"grads/{name}": gradient for name, gradient in self.grads.items()}
        with atomic_write(path) as file:
            np.savez(
                file, tokens=np.array(self.tokens), input_ids=self.input_ids, labels=self.labels, loss=self.output.loss,
                other_names=np.array(others), **arrays,
            )  # fmt: skip


def explore(
    text: str,
    model: ConvBertForMaskedLM,
    tokenizer: ConvBertTokenizer,
    text_pair: str | None = None,
    answers: Sequence[str] = (),
    top: int = 5,
) -> Exploration:
    """Run a sentence through a masked language model, forward and backward.

    The loss is the cross-entropy of `answers`, one token for each [MASK] of the text. Without answers it is that of the model's
    own first guesses: the gradient then says what made the model guess so. In a text without [MASK] every token, special ones
    excepted, is to be told from itself.

    Raises TypeError or ValueError naming the argument; for one if the answers do not match the masks in number, or are not single
    tokens of the vocabulary.
    """
    if not isinstance(model, ConvBertForMaskedLM):
        raise TypeError(f"model: must be a ConvBertForMaskedLM, got {type(model).__name__}")
    if not isinstance(text, str) or isinstance(answers, str):
        raise TypeError("text, answers: must be a string and a list of strings")
    if top < 1:
        raise ValueError(f"top: must be at least 1, got {top}")
    if model.config.vocab_size <= max(tokenizer.vocab.values()):
        raise ValueError(
            f"tokenizer: has ids up to {max(tokenizer.vocab.values())}, the model a vocab_size of {model.config.vocab_size}; "
            "they do not belong together"
        )
    encoding = tokenizer(text, text_pair, return_tensors="np")
    ids = encoding["input_ids"]
    if ids.shape[1] > model.config.max_position_embeddings:
        raise ValueError(
            f"text: has {ids.shape[1]} tokens, and the model takes at most {model.config.max_position_embeddings} "
            "(max_position_embeddings)"
        )
    masked = ids == tokenizer.mask_token_id
    special = np.isin(ids, tokenizer.all_special_ids)
    asked = masked if masked.any() else ~special
    if not asked.any():
        raise ValueError("text: holds no token to predict")
    labels = np.full_like(ids, IGNORED)
    if answers:
        labels[masked] = answer_ids(answers, int(masked.sum()), tokenizer)
        objective = f"cross-entropy of the answers given for the {int(masked.sum())} masked tokens"
    elif masked.any():
        labels[masked] = np.argmax(model(**encoding, keep_cache=False, return_dict=True).logits, axis=-1)[masked]
        objective = "cross-entropy of the model's own first guess at each masked token"
    else:
        labels[asked] = ids[asked]
        objective = "cross-entropy of each token's own id, seen in the input"
    out = model(**encoding, labels=labels, output_attentions=True, output_hidden_states=True, return_dict=True)
    grads = model.backward(out, intermediates=True)
    tokens = tokenizer.convert_ids_to_tokens(ids[0])
    guesses = predictions(out.logits[0], asked[0], tokens, tokenizer, top)
    return Exploration(tokens, ids, labels, objective, out, grads, trace(out, grads), guesses)


def answer_ids(answers: Sequence[str], masks: int, tokenizer: ConvBertTokenizer) -> list[int]:
    """The ids of the answers, one for each mask."""
    if len(answers) != masks:
        raise ValueError(f"answers: there are {len(answers)} for {masks} [MASK] tokens; give one for each")
    pieces = [tokenizer.tokenize(answer) for answer in answers]
    for answer, tokens in zip(answers, pieces, strict=True):
        if len(tokens) != 1 or tokens[0] == tokenizer.unk_token:
            raise ValueError(f"answers: {answer!r} is not one token of the vocabulary, but {tokens}")
    return [tokenizer.convert_tokens_to_ids(tokens[0]) for tokens in pieces]


def predictions(logits: Any, asked: Any, tokens: list[str], tokenizer: ConvBertTokenizer, top: int) -> list[dict[str, Any]]:
    """The `top` most probable tokens at every position asked about, with their probabilities."""
    probs, _ = softmax(logits)
    guesses = []
    for position in np.flatnonzero(asked):
        best = np.argsort(-probs[position], kind="stable")[:top]
        named = [(name_of(int(index), tokenizer), plain(probs[position, index])) for index in best]
        guesses.append({"position": int(position), "token": tokens[position], "top": named})
    return guesses


def name_of(number: int, tokenizer: ConvBertTokenizer) -> str:
    """The token of an id, or the id itself where the vocabulary is smaller than the model."""
    token = tokenizer.convert_ids_to_tokens(number)
    return f"(id {number})" if token == tokenizer.unk_token and number != tokenizer.unk_token_id else token


def plain(array: Any) -> Any:
    """An array or number as lists and numbers that JSON can hold: None where it is not finite."""
    array = np.asarray(array)
    if np.all(np.isfinite(array)):
        return array.tolist()
    safe = array.astype(object)
    safe[~np.isfinite(array)] = None
    return safe.tolist()
