"""What PyTorch's pickles are made of: storages and tensors, as numbers only, and which of the objects is the state dict.

A storage is a piece of memory with elements of one type. The pickle names it by ("storage", torch.FloatStorage, key, device,
count of elements); its bytes lie elsewhere in the file under that key. A tensor is a call of
torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks): element [i, j, ...] is the element
offset + i * strides[0] + j * strides[1] + ... of the storage. So tied weights are two tensors on one storage, and a transposed
matrix is one with other strides. A torch.nn.Parameter is _rebuild_parameter(tensor, requires_grad, hooks), with a fourth
argument if it has attributes (_rebuild_parameter_with_state). A state dict is an OrderedDict or a dict from name to tensor;
Module.state_dict() adds the attribute _metadata, the versions of the modules, which is not needed.

Source: files that torch 2.13 writes, and how its torch.load reads them.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from convbert_np.checkpoints.errors import CheckpointError, shown
from convbert_np.checkpoints.opcodes import Name, Path
from convbert_np.checkpoints.stored import BFLOAT16, MOST_AXES
from convbert_np.checkpoints.unpickle import Build, Global

STORAGE_TYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
ITEM_SIZES = {
    "float32": 4, "float64": 8, "float16": 2, BFLOAT16: 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip
WRAPPERS = ("state_dict", "model_state_dict", "model")
LONGEST_KEY = 100
MOST_TENSORS = 20_000  # in one file


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage: its key, the name of its elements' type as in StoredTensor, how many there are."""

    key: str
    dtype: str
    count: int

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return self.count * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor: where its elements lie in a storage, counted in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Records:
    """Makes the storages and tensors of one file, for `unpickle`; `storages` has all that occurred, by key.

    table  the globals that may occur; every function of them raises CheckpointError for wrong arguments
    """

    def __init__(self, path: Path):
        self.path = path
        self.storages: dict[str, Storage] = {}
        self.table: dict[Name, Build | None] = {
            ("collections", "OrderedDict"): self.ordered_dict,
            ("torch._utils", "_rebuild_tensor"): self.tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_parameter"): self.parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): self.parameter,
            **{("torch", name): None for name in STORAGE_TYPES},
        }

    def storage(self, identifier: tuple) -> Storage:
        """The storage that a persistent id asks for; the sixth entry of the legacy form, a part of a storage, must be None."""
        if len(identifier) not in (5, 6) or identifier[0] != "storage" or identifier[5:] not in ((), (None,)):
            raise CheckpointError(self.path, "a persistent id is not that of a storage")
        _, kind, key, _, count = identifier[:5]
        dtype = STORAGE_TYPES.get(kind.name.removeprefix("torch.")) if type(kind) is Global else None
        if dtype is None:
            raise CheckpointError(self.path, "the type of a storage is not a class of storages")
        if type(key) is not str or len(key) > LONGEST_KEY or not is_size(count):
            raise CheckpointError(self.path, "the key of a storage is no short text, or its count no size")
        storage = Storage(key, dtype, count)
        if self.storages.setdefault(key, storage) != storage:
            raise CheckpointError(self.path, f"the storage {key!r} occurs with two types or counts")
        return self.storages[key]

    def tensor(self, arguments: tuple) -> Tensor:
        """What _rebuild_tensor and _rebuild_tensor_v2 make; whether it fits into its storage is checked later, by name."""
        if not 4 <= len(arguments) <= 7 or type(arguments[0]) is not Storage or not is_size(arguments[1]):
            raise CheckpointError(self.path, "a tensor is not made from a storage, an offset, sizes and strides")
        storage, offset, shape, strides = arguments[:4]
        if not is_sizes(shape) or not is_sizes(strides) or len(shape) != len(strides):
            raise CheckpointError(self.path, f"a tensor's sizes and strides are not equally many sizes, at most {MOST_AXES}")
        if any(arguments[6:]):
            raise CheckpointError(self.path, "a tensor is a conjugated or negated view, which is not supported")
        return Tensor(storage, offset, shape, strides)

    def parameter(self, arguments: tuple) -> Tensor:
        """What _rebuild_parameter and _rebuild_parameter_with_state make: the tensor itself."""
        if not 3 <= len(arguments) <= 4 or type(arguments[0]) is not Tensor:
            raise CheckpointError(self.path, "a parameter is not made from a tensor")
        return arguments[0]

    def ordered_dict(self, arguments: tuple) -> dict:
        """An empty dict."""
        if arguments:
            raise CheckpointError(self.path, "an OrderedDict is not made empty")
        return {}


def is_size(value: Any) -> bool:
    """Whether the value is an integer in [0, 2^63)."""
    return type(value) is int and 0 <= value < 2**63


def is_sizes(value: Any) -> bool:
    """Whether the value is a tuple of at most MOST_AXES sizes."""
    return type(value) is tuple and len(value) <= MOST_AXES and all(map(is_size, value))


def state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    """The tensors by name of what a file's pickle made, which must be a dict.

    If it has a dict that holds tensors under the key "state_dict", "model_state_dict" or "model" (the first of these that
    it has), that is the state dict, else it is one itself. Entries of a state dict that are no tensors are left out.
    Raises CheckpointError if there are entries, but no tensors.
    """
    if type(content) is not dict:
        raise CheckpointError(path, f"holds a value of type {type(content).__name__}, not a dict of tensors")
    inner = next((content[key] for key in WRAPPERS if has_tensors(content.get(key))), content)
    if inner and not has_tensors(inner):
        raise CheckpointError(path, f"holds no tensors by name; its first entries are {shown(list(inner)[:5])}")
    if len(inner) > MOST_TENSORS:
        raise CheckpointError(path, f"has {len(inner)} entries; {MOST_TENSORS} are allowed")
    for name, value in inner.items():
        if type(value) is Tensor and not isinstance(name, str):
            raise CheckpointError(path, f"a tensor's name is the number {name}, not a text")
    return {name: value for name, value in inner.items() if type(value) is Tensor}


def has_tensors(value: Any) -> bool:
    """Whether the value is a dict with a tensor in it."""
    return type(value) is dict and any(type(entry) is Tensor for entry in value.values())


def extent(path: Path, name: str, tensor: Tensor) -> int:
    """How many elements of its storage a tensor spans from its offset on. Raises CheckpointError if the storage has fewer.

    A tensor may not have more elements than its storage either: one that repeats elements, by strides of 0, could be
    larger than any memory.
    """
    elements = prod(tensor.shape)
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)) if elements else 0
    if elements > tensor.storage.count or tensor.offset + span > tensor.storage.count:
        place = f"offset {tensor.offset}, sizes {tensor.shape!r:.200}, strides {tensor.strides!r:.200}"
        raise CheckpointError(path, f"{place} do not fit into a storage of {tensor.storage.count} elements", name)
    return span


def is_contiguous(tensor: Tensor) -> bool:
    """Whether the elements of a tensor follow one another in C order."""
    expected = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if size != 1 and stride != expected:
            return 0 in tensor.shape
        expected *= size
    return True
