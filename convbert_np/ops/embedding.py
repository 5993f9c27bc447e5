"""Embedding: look up rows of a table by id."""

import numpy as np

from convbert_np.backend import add_at, library_of
from convbert_np.memory import zeros_like
from convbert_np.tree import Tree


def embedding(ids, weight, padding_idx=None):
    r"""Row `ids` of the table.

        y_{...,e} = W_{ids,e}                                                           (1)

    Shapes : ids (...) integers in [0, V), weight (V, E), y (..., E).
    Cache  : ids, weight, padding_idx, y.
    Source : torch.nn.Embedding. `padding_idx` changes the backward only: that row's gradient is 0.
    """
    y = weight[ids]  # (1)
    return y, {"ids": ids, "weight": weight, "padding_idx": padding_idx, "y": y}


def embedding_backward(dy, cache) -> Tree:
    """Adjoint of `embedding`: every row collects the gradients of all places that looked it up, the padding row none."""
    ids, weight, padding_idx = cache["ids"], cache["weight"], cache["padding_idx"]
    dweight = scatter_add(zeros_like(weight), ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))  # (1)
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return {"weight": dweight, "y": dy}


def scatter_add(table, ids, rows):
    """table[ids[r]] += rows[r] for every r, repeated ids included; changes `table` and returns it.

    Rows of equal id are brought together by a stable sort and summed in one sweep each: deterministic, and faster than np.add.at
    on wide tables.
    """
    if library_of(table) is not np:
        return add_at(table, ids, rows)
    order = np.argsort(ids, kind="stable")
    sorted_ids = ids[order]
    starts = np.flatnonzero(np.diff(sorted_ids, prepend=-1))  # where a new id begins
    table[sorted_ids[starts]] += np.add.reduceat(rows[order], starts, axis=0)
    return table
