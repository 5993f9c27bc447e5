"""From documents to rows of ids of one length, in an order that a seed and a step determine."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from convbert_np.training.masking import IGNORED, Masking, candidates_of, mask_tokens


class Part(NamedTuple):
    """One of the parts of a step's batch.

    inputs  the arguments of the call
    shares  by the name of a loss the part's share of what the loss is a mean over, of the whole batch: 3 of 20 labels are .15
    seed    of the call's randomness
    """

    inputs: dict[str, Any]
    shares: dict[str, float]
    seed: tuple[int, ...]


class Corpus(NamedTuple):
    """Rows of ids (n, S), without padding but for a single short row, and what masking must know of the vocabulary."""

    rows: np.ndarray
    special_ids: tuple[int, ...]
    mask_token_id: int
    pad_token_id: int
    vocab_size: int

    def fingerprint(self) -> str:
        """A checksum of all this: the same text, cut in the same way, has the same."""
        digest = hashlib.sha256(repr((self.rows.shape, *self[1:])).encode())
        digest.update(np.ascontiguousarray(self.rows, "<i4").tobytes())
        return digest.hexdigest()

    def inputs_of(self, ids: np.ndarray, rng: np.random.Generator, masking: Masking) -> dict[str, Any]:
        """The arguments of a call for some rows: ids of which some are hidden, labels, and a mask if there is padding."""
        attends = ids != self.pad_token_id
        candidates = candidates_of(ids, self.special_ids, attends)
        masked, labels = mask_tokens(ids, candidates, rng, self.mask_token_id, self.vocab_size, masking)
        mask = {} if attends.all() else {"attention_mask": attends.astype(np.int64)}
        return {"input_ids": masked, "labels": labels} | mask


def documents_of(lines: Iterable[str]) -> Iterator[str]:
    """The documents of a text: the lines between blank lines, joined by blanks."""
    pending: list[str] = []
    for line in lines:
        if line.strip():
            pending.append(line.strip())
        elif pending:
            yield " ".join(pending)
            pending = []
    if pending:
        yield " ".join(pending)


def pack(documents: Iterable[Sequence[int]], length: int, cls_id: int, sep_id: int, pad_id: int) -> np.ndarray:
    """Rows [CLS] ... [SEP] of `length` ids, filled with one document after the other, a [SEP] between two.

    A document that does not fit goes on in the next row. What is left over at the end is dropped, unless it is all there is: then
    it is one padded row. Shape (n, length), int32. Raises ValueError if there is no token, or if `length` leaves no room.
    """
    if length < 3:
        raise ValueError(f"length: must be at least 3, [CLS], a token and [SEP], got {length}")
    joined: list[int] = []
    for document in documents:
        joined.extend(document)
        joined.append(sep_id)
    stream = np.asarray(joined[:-1], np.int32)
    if not len(stream):
        raise ValueError("documents: hold no token")
    room = length - 2
    number = len(stream) // room
    if not number:
        row = np.concatenate([[cls_id], stream, [sep_id], np.full(room - len(stream), pad_id)])
        return row[None].astype(np.int32)
    inner = stream[: number * room].reshape(number, room)
    ends = (np.full((number, 1), end, np.int32) for end in (cls_id, sep_id))
    first, last = ends
    return np.concatenate([first, inner, last], axis=1)


def held_out(
    documents: Sequence[Any], share: float, seed: int, what: str = "documents (parts between blank lines)"
) -> tuple[list[Any], list[Any]]:
    """Documents to train on, and a random share of them, one at least, to evaluate on; both in their old order.

    `what` they are called in the message. Raises ValueError if the share is not between 0 and 1, or if nothing would be left to
    train on.
    """
    if not 0 < share < 1:
        raise ValueError(f"held_out: must be a share above 0 and below 1, got {share}")
    number = max(1, round(share * len(documents)))
    if number >= len(documents):
        raise ValueError(f"held_out: {share} of {len(documents)} {what} leaves none to train on")
    chosen = set(np.random.default_rng((seed, 1)).permutation(len(documents))[:number].tolist())
    kept = [document for index, document in enumerate(documents) if index not in chosen]
    return kept, [documents[index] for index in sorted(chosen)]


def order_of_epoch(number: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch goes through `number` rows."""
    return np.random.default_rng((seed, 2, epoch)).permutation(number)


def rows_of_step(number: int, seed: int, step: int, batch_size: int) -> np.ndarray:
    """Which rows a step sees: steps go on where the last one stopped, through one shuffled epoch after the other."""
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    orders = {int(epoch): order_of_epoch(number, seed, int(epoch)) for epoch in np.unique(places // number)}
    return np.array([orders[place // number][place % number] for place in places.tolist()])


def parts_of_step(corpus: Corpus, step: int, seed: int, batch_size: int, parts: int, masking: Masking) -> Iterator[Part]:
    """The batch of a step in parts whose gradients are to be added up. It depends on the arguments alone.

    The losses of the masked tokens ("loss", "generator_loss") are means over these, the discriminator's over all tokens.
    """
    rows = rows_of_step(len(corpus.rows), seed, step, batch_size)
    inputs = corpus.inputs_of(corpus.rows[rows], np.random.default_rng((seed, 3, step)), masking)
    masked = np.sum(inputs["labels"] != IGNORED, axis=1)
    tokens = np.sum(corpus.rows[rows] != corpus.pad_token_id, axis=1)
    for index, places in enumerate(np.array_split(np.arange(batch_size), parts)):
        of_masked, of_all = (float(np.sum(count[places]) / np.sum(count)) for count in (masked, tokens))
        shares = {"loss": of_masked, "generator_loss": of_masked, "discriminator_loss": of_all}
        yield Part({name: value[places] for name, value in inputs.items()}, shares, (seed, 4, step, index))
