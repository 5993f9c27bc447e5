"""PyTorch's own files, as torch.save writes them ("pytorch_model.bin"), read without PyTorch and without executing anything.

Since PyTorch 1.6 (2020) such a file is a zip archive of uncompressed members, all in one folder (whose name is that of the file
or "archive"):

    data.pkl                  the object, as a pickle without the elements of its storages
    byteorder                 "little" or "big"; absent before PyTorch 2.1
    data/0, data/1, ...       the elements of the storages, by their keys
    version, .format_version, .storage_alignment, .data/serialization_id        not needed

The data begin at multiples of 64 bytes. The form before that is described in torch_legacy, the content of the pickle in
torch_tensors. TorchScript's archives have the same form with constants.pkl and code/; they are programs, and are refused.

Source: files that torch 2.13 writes, in both forms.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from convbert_np.checkpoints.archive import Member, fault, open_archive, read_member, verify_member
from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.opcodes import LONGEST_PICKLE
from convbert_np.checkpoints.stored import BFLOAT16, Source, StoredTensor, contiguous, shaped
from convbert_np.checkpoints.torch_legacy import open_legacy
from convbert_np.checkpoints.torch_tensors import Records, Storage, Tensor, extent, is_contiguous, state_dict
from convbert_np.checkpoints.unpickle import Instruction, check_pickle, unpickle


def open_torch(path: str | os.PathLike[str]) -> dict[str, StoredTensor]:
    """The tensors by name of a file that torch.save wrote: a state dict, or a dict that has one (see `state_dict`).

    Both the zip form and the legacy form are read; which it is the content says. Only the pickle is read now. `view` of a
    tensor is a view of the mapped file with the tensor's strides; `fetch` reads it in C order, and checks the CRC-32 of
    its storage, which the zip form has, when the storage is read for the first time.

    Raises OSError for a file that cannot be opened, CheckpointError for one that is not what it should be: with an opcode
    or a global that is not allowed, in big-endian order, a TorchScript archive, the tar form of 2016.
    """
    source = Source(path)
    start = source.read(0, min(source.size, 512)).tobytes()
    if start.startswith(b"PK"):
        return open_zip(source)
    if start.startswith(b"\x80"):
        tensors, begins = open_legacy(source)
        regions = {key: Region(source, begin) for key, begin in begins.items()}
        return stored_tensors(source, tensors, regions)
    if start[257:262] == b"ustar":
        advice = "load it with an old PyTorch (torch.load) and write it again (torch.save)"
        raise CheckpointError(path, f"is in the tar form of PyTorch before 0.2, which is not read here; {advice}")
    raise CheckpointError(path, f"begins with {start[:8]!r}: this is no file of PyTorch")


def open_zip(source: Source) -> dict[str, StoredTensor]:
    """The tensors of the zip form."""
    members = open_archive(source, allow_deflate=True)  # as TorchScript's are, so that they are named
    root = find_root(source, members)
    for member in members.values():
        if member.deflated:
            raise fault(source, member.name, "is compressed, which is not supported in a file of PyTorch")
    order = small_member(members.get(f"{root}/byteorder"), b"little", 16)
    if order != b"little":
        raise CheckpointError(source.path, f"has the byte order {order.decode('ascii', 'replace')!r}; only 'little' is read")
    data = memoryview(small_member(members[f"{root}/data.pkl"], b"", LONGEST_PICKLE))
    records = Records(source.path)
    kept: list[Instruction] = []
    end = check_pickle(source.path, data, 0, records.table, kept=kept)
    if end != len(data):
        raise CheckpointError(source.path, f"{len(data) - end} bytes follow the STOP of data.pkl")
    content = unpickle(source.path, data, 0, records.table, records.storage, kept)
    regions = {key: zip_region(source, members, root, storage) for key, storage in records.storages.items()}
    return stored_tensors(source, state_dict(source.path, content), regions)


def find_root(source: Source, members: Mapping[str, Member]) -> str:
    """The folder that has data.pkl, of which there must be one, and no program."""
    roots = [name.removesuffix("/data.pkl") for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(source.path, f"is a zip archive with {len(roots)} members FOLDER/data.pkl, not one")
    if f"{roots[0]}/constants.pkl" in members or any(name.startswith(f"{roots[0]}/code/") for name in members):
        advice = "load it with torch.jit.load and write its state_dict() with torch.save"
        raise CheckpointError(source.path, f"is a TorchScript archive, a program, which is not read here; {advice}")
    return roots[0]


def small_member(member: Member | None, default: bytes, limit: int) -> bytes:
    """The content of a member of at most `limit` bytes, with its CRC-32 checked; `default` if there is no member."""
    if member is None:
        return default
    if member.size > limit:
        raise fault(member.source, member.name, f"{member.size} bytes are more than the {limit} allowed")
    return read_member(member).tobytes()


def zip_region(source: Source, members: Mapping[str, Member], root: str, storage: Storage) -> "Region":
    """Where the elements of a storage lie: the member must have exactly its bytes."""
    member = members.get(f"{root}/data/{storage.key}")
    if member is None:
        raise CheckpointError(source.path, f"there is no member for the storage {storage.key!r}")
    if member.size != storage.nbytes:
        reason = f"has {member.size} bytes; {storage.count} elements of {storage.dtype} need {storage.nbytes}"
        raise fault(source, member.name, reason)
    return Region(source, member.begin, member)


class Region:
    """The bytes of a storage in the file, from `begin` on; `member` is the one that has them in the zip form."""

    def __init__(self, source: Source, begin: int, member: Member | None = None):
        self.source = source
        self.begin = begin
        self.member = member

    @cached_property
    def verified(self) -> bool:
        """True once the CRC-32, if there is one, has been found right. Raises CheckpointError if it is wrong."""
        if self.member is not None:
            verify_member(self.member)
        return True

    def read(self, begin: int, end: int) -> np.ndarray:
        """A copy of the bytes [begin, end) of the file, after the CRC-32 of the storage has been checked."""
        member = self.member
        if member is not None and (begin, end) == (member.begin, member.end):
            return read_member(member)
        return self.source.read(begin, end) if self.verified else np.empty(0, np.uint8)


def stored_tensors(source: Source, tensors: Mapping[str, Tensor], regions: Mapping[str, Region]) -> dict[str, StoredTensor]:
    """The tensors of a state dict, each checked against its storage."""
    return {name: stored_tensor(source, name, tensor, regions[tensor.storage.key]) for name, tensor in tensors.items()}


def stored_tensor(source: Source, name: str, tensor: Tensor, region: Region) -> StoredTensor:
    """A tensor with the ways to read it."""
    dtype = tensor.storage.dtype
    code = np.dtype("<u2") if dtype == BFLOAT16 else np.dtype(dtype).newbyteorder("<")
    span = extent(source.path, name, tensor)
    begin = region.begin + tensor.offset * code.itemsize
    end = begin + span * code.itemsize
    plain = contiguous(source, name, dtype, tensor.shape, begin)
    if is_contiguous(tensor):
        return replace(plain, fetch=lambda: shaped(source.path, name, region.read(begin, end), code, tensor.shape))
    return replace(
        plain,
        view=lambda: strided(source, name, source.mapped[begin:end], code, tensor),
        fetch=lambda: strided(source, name, region.read(begin, end), code, tensor).copy(),
    )


def strided(source: Source, name: str, raw: np.ndarray, code: np.dtype, tensor: Tensor) -> np.ndarray:
    """The bytes that a tensor spans as an array with its strides. Raises CheckpointError for a boolean other than 0 and 1."""
    # the stride of an axis of length 1 is never used, and may be any number
    strides = [stride * code.itemsize if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
    if code.kind == "b" and np.ndarray(tensor.shape, np.uint8, raw.data, 0, strides).max() > 1:
        raise CheckpointError(source.path, "a boolean is neither 0 nor 1", name)
    return np.ndarray(tensor.shape, code, raw.data, 0, strides)
