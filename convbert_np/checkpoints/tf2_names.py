"""The variables of the TensorFlow 2 classes of transformers, by the names of PyTorch's state_dict.

In tf_model.h5 a variable is called GROUP/MODEL/VARIABLE:0. GROUP is the layer of the model to which Keras counts it, MODEL what
the model was called when it was saved ("tf_conv_bert_for_masked_lm_1"), and VARIABLE what the table of names.py lists under tf2:
"convbert/encoder/layer_._3/attention/self/query/kernel". In the parts of a model saved in several files, and in a
model.safetensors that TensorFlow wrote, the name is VARIABLE:0 alone.

The arrays differ in the order of their axes: the kernel of a linear map is (in, out), the transpose of PyTorch's weight, and of
a grouped one (out of a group, in of a group, groups), all axes reversed; the two kernels of the separable convolution likewise;
its bias lacks PyTorch's last axis of 1.

A variable that belongs to two layers is stored in both groups: the group generator_lm_head repeats all embeddings. The
copies are compared when the values are read.

Source: modeling_tf_pytorch_utils.py and save_pretrained of transformers 4.37.2, and the files that they write.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.stored import StoredTensor
from convbert_np.names import names

BODY = "convbert."
LAYER = re.compile(r"(?<=encoder/layer_\._)(0|[1-9][0-9]{0,5})(?=/)")
NEW_AXIS = -1
MOST_COPIES = 4  # a file of the masked language model has two
STEP = 2**20  # elements compared at a time


class Variable(NamedTuple):
    """PyTorch's name of a variable, "{i}" for the layer; and by the variable's number of axes, which of them are PyTorch's."""

    name: str
    orders: dict[int, tuple[int, ...]]


def from_tf2(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The variables of any of the six TensorFlow models under PyTorch's names, with PyTorch's shapes; no value is read.

    `tensors` is what `open_hdf5` gives for a tf_model.h5, or for all parts of one together. The names of the body begin with
    "convbert." if there is a head. The word embedding, which ties the head of the masked language model, has one
    name only. A tensor that is no variable of these models keeps its name.

    Raises CheckpointError for a variable with an impossible number of axes, and for two copies of different type or shape; the
    values of a result do so when they are read, if two copies differ.
    """
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, StoredTensor) for tensor in tensors.values()):
        raise TypeError(f"tensors: must be a dict from names to StoredTensor, got {type(tensors).__name__}")
    known = {path: named(path) for path in tensors}
    headless = all(variable is None or name.startswith(BODY) for name, variable in known.values())
    copies: dict[str, list[StoredTensor]] = {}
    for path, (name, variable) in known.items():
        name = name.removeprefix(BODY) if headless and variable else name
        copies.setdefault(name, []).append(tensors[path] if variable is None else arranged(tensors[path], variable))
    return {name: agreeing(of_one) for name, of_one in copies.items()}


@cache
def variables() -> dict[str, Variable]:
    """Every variable of the table of names, "{i}" for the layer."""
    table = {}
    for row in names():
        if row.tf2 and row.name != "generator_lm_head.weight":  # which is the word embedding
            variable, _, note = row.tf2.partition(" (")
            prefix = BODY if variable.startswith("convbert/") else ""
            table[variable] = Variable(prefix + row.name, orders_of(note.rstrip(")")))
    return table


def orders_of(note: str) -> dict[int, tuple[int, ...]]:
    """The order of axes that a note of the table means, by the variable's number of axes; empty: as it is."""
    orders = {2: (1, 0)} if note.startswith("transposed") else {1: (0, NEW_AXIS)} if note == "A" else {}
    axes = re.search(r"axes ([0-9 ]+)$", note)
    return orders | ({3: tuple(map(int, axes[1].split()))} if axes else {})


def named(path: str) -> tuple[str, Variable | None]:
    """PyTorch's name of a tensor, and the variable it is; the name as it is and None if it is none."""
    words = path.removesuffix(":0").split("/")
    for first in range(min(3, len(words))):  # behind group and model, behind one of them, or alone
        candidate = "/".join(words[first:])
        layer = LAYER.search(candidate)
        general = LAYER.sub("{i}", candidate, count=1)
        # transformers takes "weight" for "embeddings", too
        variable = variables().get(general) or variables().get(re.sub("embeddings/weight$", "embeddings/embeddings", general))
        if variable is not None and (layer or "{i}" not in variable.name):
            return variable.name.replace("{i}", layer[0] if layer else ""), variable
    return path, None


def arranged(tensor: StoredTensor, variable: Variable) -> StoredTensor:
    """A variable with PyTorch's order of axes."""
    if not variable.orders:
        return tensor
    order = variable.orders.get(len(tensor.shape))
    if order is None:
        reason = f"has the shape {tensor.shape!r:.80}, but must have {' or '.join(map(str, variable.orders))} axes"
        raise CheckpointError(tensor.path, reason, tensor.name)
    shape = tuple(1 if axis == NEW_AXIS else tensor.shape[axis] for axis in order)
    old = [axis for axis in order if axis != NEW_AXIS]
    return replace(
        tensor,
        shape=shape,
        view=lambda: tensor.view().transpose(old).reshape(shape),
        fetch=lambda: np.ascontiguousarray(tensor.fetch().transpose(old).reshape(shape)),
    )


def agreeing(copies: list[StoredTensor]) -> StoredTensor:
    """A tensor that the file has several times: the first copy, compared with the others whenever it is read."""
    first, *others = copies
    for other in others:
        if (first.dtype, first.shape) != (other.dtype, other.shape) or len(copies) > MOST_COPIES:
            reason = (
                f"is {other.dtype} {other.shape}, one of {len(copies)} copies of {first.name!r:.200}, {first.dtype} {first.shape}"
            )
            raise CheckpointError(other.path, reason, other.name)

    def compared(read: Callable[[StoredTensor], np.ndarray]) -> np.ndarray:
        values = read(first)
        for other in others:
            if not same(values, read(other)):
                raise CheckpointError(other.path, f"differs from {first.name!r:.200}, which is the same variable", other.name)
        return values

    if not others:
        return first
    return replace(first, view=lambda: compared(lambda copy: copy.view()), fetch=lambda: compared(lambda copy: copy.fetch()))


def same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two arrays of a type and a shape have the same bits; compared piece by piece, to allocate little."""
    bits = f"u{first.dtype.itemsize}"
    one, other = first.reshape(-1).view(bits), second.reshape(-1).view(bits)
    return all(np.array_equal(one[i : i + STEP], other[i : i + STEP]) for i in range(0, one.size, STEP))
