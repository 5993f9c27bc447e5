"""The instructions of a pickle, one after the other: the opcodes that are read here, and their arguments.

An instruction is an opcode of one byte and, of some, an argument: a number of fixed width, a length and so many bytes, or (of
GLOBAL) two lines of text. FRAME announces that so many bytes of instructions follow, which no instruction may cross.

Source: the standard library's pickletools, which describes every opcode.
"""

import os
import pickletools
import struct
from collections.abc import Iterator
from typing import Any

from convbert_np.checkpoints.errors import CheckpointError

Path = str | os.PathLike[str]
Name = tuple[str, str]  # of a global: its module and its name there

MOST_INSTRUCTIONS = 300_000
LONGEST_PICKLE = 8 << 20
LONGEST_NAME = 200

ALL_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
CODES = {name: code for code, name in ALL_NAMES.items()}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
FIXED = {  # the argument is a number
    "PROTO": "<B", "FRAME": "<Q", "BININT1": "<B", "BININT2": "<H", "BININT": "<i", "BINFLOAT": ">d",
    "BINPUT": "<B", "LONG_BINPUT": "<I", "BINGET": "<B", "LONG_BINGET": "<I",
}  # fmt: skip
COUNTED = {"LONG1": "<B", "SHORT_BINUNICODE": "<B", "BINUNICODE": "<I"}  # a length, and so many bytes
BARE = (
    "MARK", "STOP", "EMPTY_DICT", "EMPTY_LIST", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS",
    "MEMOIZE", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID",
)  # fmt: skip
OPCODES = {CODES[name]: name for name in (*CONSTANTS, *FIXED, *COUNTED, *BARE, "GLOBAL")}
STRUCTS = {CODES[name]: struct.Struct(layout) for name, layout in (FIXED | COUNTED).items()}
PUSHED = {*CONSTANTS, "BININT1", "BININT2", "BININT", "BINFLOAT", *COUNTED}
MEMOIZING = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETTING = {"BINGET", "LONG_BINGET"}


def instructions(path: Path, data: memoryview, begin: int, most: int = MOST_INSTRUCTIONS) -> Iterator[tuple[int, str, Any]]:
    """The instructions of a pickle: place, opcode's name, argument (of a constant, its value), up to and with STOP."""
    place = frame = begin
    for _ in range(most):
        if place >= len(data):
            raise CheckpointError(path, f"the pickle at byte {begin} ends without STOP")
        name = OPCODES.get(data[place])
        if name is None:
            known = ALL_NAMES.get(data[place], f"{data[place]:#04x}")
            raise CheckpointError(path, f"the opcode {known} at byte {place} is not allowed in a pickle of parameters")
        argument, end = read_argument(path, data, place, name)
        if place < frame < end:
            raise CheckpointError(path, f"the opcode {name} at byte {place} crosses the end of its frame")
        if name == "FRAME":
            if place < frame or argument > len(data) - end:
                raise CheckpointError(path, f"the frame at byte {place} has {argument} bytes, which it cannot have")
            frame = end + argument
        yield place, name, argument
        if name == "STOP":
            return
        place = end
    raise CheckpointError(path, f"the pickle at byte {begin} has more than {most} instructions")


def read_argument(path: Path, data: memoryview, place: int, name: str) -> tuple[Any, int]:
    """The argument of the instruction at a place, and the place of the next."""
    layout = STRUCTS.get(data[place])
    place += 1
    if layout is None:
        return read_names(path, data, place) if name == "GLOBAL" else (CONSTANTS.get(name), place)
    if layout.size > len(data) - place:
        raise CheckpointError(path, f"the argument of {name} at byte {place} is cut off")
    (number,) = layout.unpack_from(data, place)
    place += layout.size
    if name not in COUNTED:
        return number, place
    if number > len(data) - place:
        raise CheckpointError(path, f"{name} at byte {place} says that {number} bytes follow; there are {len(data) - place}")
    raw = data[place : place + number]
    return int.from_bytes(raw, "little", signed=True) if name == "LONG1" else decode(path, raw, place), place + number


def decode(path: Path, raw: memoryview | bytes, place: int) -> str:
    """A text; CheckpointError if it is not strict UTF-8, in which there are no surrogates."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(path, f"the text at byte {place} is not UTF-8: {error.reason}") from None


def read_names(path: Path, data: memoryview, place: int) -> tuple[Name, int]:
    """The argument of GLOBAL, two lines: module and name."""
    module, newline, rest = bytes(data[place : place + 2 * LONGEST_NAME]).partition(b"\n")
    name, second, _ = rest.partition(b"\n")
    if not newline or not second:
        raise CheckpointError(path, f"GLOBAL at byte {place} has no two lines of at most {LONGEST_NAME} bytes")
    return (decode(path, module, place), decode(path, name, place)), place + len(module) + len(name) + 2
