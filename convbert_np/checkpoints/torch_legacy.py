"""The form of PyTorch's files before 1.6, which torch.save(..., _use_new_zipfile_serialization=False) still writes.

Five pickles follow one another: a magic number; the version of the form, 1001; a dict that says whether the writer was little
endian; the object, in which storages are named by keys as in the zip form (torch_tensors); the list of all keys. Then come the
storages in the order of this list, each as the count of its elements, 8 bytes, and the elements. There are no checksums.

Source: files that torch 2.13 writes in this form.
"""

import struct

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.opcodes import LONGEST_PICKLE, MOST_INSTRUCTIONS
from convbert_np.checkpoints.stored import Source
from convbert_np.checkpoints.torch_tensors import Records, Storage, Tensor, state_dict
from convbert_np.checkpoints.unpickle import check_pickle, unpickle

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
COUNT = struct.Struct("<q")
FEW = 1000  # instructions of a pickle that has a number or a few


def open_legacy(source: Source) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The tensors of the state dict by name, and where the elements of each storage begin, by key.

    Raises CheckpointError for a file that is none of this form or is not complete.
    """
    path = source.path
    data = memoryview(source.mapped[:LONGEST_PICKLE].data)
    magic, place = small_pickle(source, data, 0)
    if magic != MAGIC:
        raise CheckpointError(path, "is a pickle, but does not begin with the magic number of torch.save")
    version, place = small_pickle(source, data, place)
    if version != VERSION:
        raise CheckpointError(path, f"has another version than {VERSION} of the legacy form")
    system, place = small_pickle(source, data, place)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise CheckpointError(path, "does not say that it is little-endian; big-endian files are not read")
    records = Records(path)
    end = check_pickle(path, data, place, records.table)
    ends = check_pickle(path, data, end, {}, MOST_INSTRUCTIONS)
    content = unpickle(path, data, place, records.table, records.storage)
    keys = unpickle(path, data, end, {})
    return state_dict(path, content), find_storages(source, records.storages, keys, ends)


def small_pickle(source: Source, data: memoryview, place: int) -> tuple[object, int]:
    """What a pickle of few instructions makes, and the place behind it."""
    end = check_pickle(source.path, data, place, {}, FEW)
    return unpickle(source.path, data, place, {}), end


def find_storages(source: Source, storages: dict[str, Storage], keys: object, place: int) -> dict[str, int]:
    """Where each storage begins, from the list of their keys and the byte behind it; they must fill the rest of the file."""
    if type(keys) is not list or not all(type(key) is str and key in storages for key in keys) or len(keys) != len(storages):
        raise CheckpointError(source.path, "the list of keys is not that of the storages")
    begins: dict[str, int] = {}
    for key in keys:
        if key in begins:
            raise CheckpointError(source.path, f"the storage {key!r} occurs twice")
        if source.size - place < COUNT.size:
            raise CheckpointError(source.path, f"ends before the storage {key!r}")
        (count,) = COUNT.unpack(source.read(place, place + COUNT.size).data)
        begins[key] = place + COUNT.size
        place = begins[key] + storages[key].nbytes
        if count != storages[key].count or place > source.size:
            reason = f"the storage {key!r} has {count} elements, its tensors need {storages[key].count}"
            raise CheckpointError(source.path, f"{reason}; the file has {source.size} bytes")
    if place != source.size:
        raise CheckpointError(source.path, f"{source.size - place} bytes at the end belong to no storage")
    return begins
