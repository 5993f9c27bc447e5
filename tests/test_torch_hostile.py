"""PyTorch's files that lie: archives, pickles and storages, each refused with the reason, and nothing built or executed."""

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from torch_parts import (
    EMPTY,
    FIXTURES,
    ORDER,
    ORDERED,
    PICKLE,
    PROTO,
    REBUILD,
    assert_same,
    dict_of,
    entry_of,
    number,
    numbers,
    short,
    storage,
    tensor,
    text,
    write_parts,
    write_pickle,
)

from convbert_np.checkpoints import CheckpointError
from convbert_np.checkpoints.archive import MOST_MEMBERS, inflate, open_archive, read_member, verify_member
from convbert_np.checkpoints.opcodes import LONGEST_PICKLE, MOST_INSTRUCTIONS
from convbert_np.checkpoints.stored import Source
from convbert_np.checkpoints.torch_file import open_torch
from convbert_np.checkpoints.torch_writer import write_torch
from convbert_np.checkpoints.unpickle import check_pickle, unpickle

# ---- archives

INNER = b"PK\3\4" + struct.pack("<5H3I2H", 20, 0x800, 0, 0, 0, zlib.crc32(EMPTY), 4, 4, 10, 0) + b"a/data.pkl" + EMPTY
ARCHIVES: list[tuple[list[dict], dict, str]] = [
    ([], {}, "0 members FOLDER/data.pkl, not one"),
    ([entry_of("data.pkl", EMPTY)], {}, "0 members FOLDER/data.pkl"),
    ([entry_of("a/b/data.pkl", EMPTY)], {}, "0 members FOLDER/data.pkl"),
    ([PICKLE, entry_of("b/data.pkl", EMPTY)], {}, "2 members FOLDER/data.pkl"),
    ([PICKLE, PICKLE], {}, "member 'a/data.pkl': occurs twice"),
    ([PICKLE, entry_of("a/constants.pkl", EMPTY)], {}, "TorchScript archive"),
    ([PICKLE, entry_of("a/code/x.py", b"")], {}, "TorchScript archive"),
    ([PICKLE, entry_of("a/byteorder", b"big")], {}, "byte order 'big'; only 'little'"),
    ([PICKLE, entry_of("a/byteorder", b"\xff")], {}, "byte order '\ufffd'; only 'little'"),
    ([PICKLE, entry_of("a/byteorder", b"little" * 9)], {}, "'a/byteorder': 54 bytes are more than the 16 allowed"),
    ([entry_of("a/data.pkl", EMPTY + bytes(LONGEST_PICKLE))], {}, "8388612 bytes are more than the 8388608"),
    ([entry_of("a/data.pkl", EMPTY + b"x")], {}, "1 bytes follow the STOP"),
    ([entry_of("a/data.pkl", EMPTY, crc=1, local_crc=1)], {}, "'a/data.pkl': its content has the CRC-32 .*, not 00000001"),
    ([entry_of("a/data.pkl", EMPTY, crc=1, local_crc=2)], {}, "'a/data.pkl': its local header has another CRC-32 or size"),
    ([entry_of("a/data.pkl", EMPTY, local_size=5)], {}, "its local header has another CRC-32 or size"),
    ([entry_of("a/data.pkl", EMPTY, local_packed=5)], {}, "its local header has another CRC-32 or size"),
    ([entry_of("a/data.pkl", EMPTY, local_crc=0, local_size=0, local_packed=0)], {}, "has another CRC-32 or size"),
    ([entry_of("a/data.pkl", EMPTY, local_name=b"a/data.pkL")], {}, "its local header has another name"),
    ([entry_of("a/data.pkl", EMPTY, local_name=b"\xff")], {}, "a member's name is no text"),
    ([entry_of("a/data.pkl", EMPTY, local_method=8)], {}, "its local header has another name, method"),
    ([entry_of("a/data.pkl", EMPTY, local_flags=1)], {}, "its local header has another name, method or encryption"),
    ([entry_of("a/data.pkl", EMPTY, flags=1)], {}, "is encrypted"),
    ([entry_of("a/data.pkl", EMPTY, flags=0x2000)], {}, "has the flags 0x2000 .* not supported"),
    ([entry_of("a/data.pkl", EMPTY, disk=1)], {}, "the disk 1, which are not supported"),
    ([entry_of("a/data.pkl", EMPTY, method=12)], {}, r"is compressed \(method 12\)"),
    ([PICKLE, entry_of("a/x", zlib.compress(b"x" * 99)[2:-4], method=8, size=99)], {}, "'a/x': is compressed, .* PyTorch"),
    ([entry_of("a/data.pkl", EMPTY, size=5)], {}, "4 bytes cannot hold 5 by method 0"),
    ([entry_of("a/data.pkl", EMPTY, method=8, size=2**33)], {}, "4 bytes cannot hold 8589934592 by method 8"),
    ([entry_of("a/data.pkl", EMPTY, size=10**6, packed=10**6)], {}, "its 1000000 bytes at byte 40 go beyond byte 44"),
    ([entry_of("a/data.pkl", EMPTY, size=2**62, packed=2**62)], {}, "its 4611686018427387904 bytes at byte 60 go beyond"),
    ([entry_of("a/data.pkl", EMPTY, place=10**6)], {}, "its local header at byte 1000000 goes beyond byte 44"),
    ([entry_of("a/data.pkl", EMPTY, place=1)], {}, "there is no local header at byte 1"),
    ([PICKLE, entry_of("a/b", b"", place=0, local_name=b"a/data.pkl")], {}, "its local header has another name"),
    ([entry_of("a/x", INNER), entry_of("a/data.pkl", EMPTY, place=33)], {},
     "'a/data.pkl': begins at byte 33, within another member that ends at 77"),
    ([entry_of("../data.pkl", EMPTY)], {}, "member '../data.pkl': is no name for a file"),
    ([entry_of("/data.pkl", EMPTY)], {}, "is no name for a file"),
    ([entry_of("a\\data.pkl", EMPTY)], {}, "is no name for a file"),
    ([entry_of("a\0/data.pkl", EMPTY)], {}, "is no name for a file"),
    ([entry_of("", EMPTY)], {}, "is no name for a file"),
    ([entry_of("a/data.pkl", EMPTY, name=b"\xff/data.pkl")], {}, "a member's name is no text"),
    ([entry_of("a/data.pkl", EMPTY, name=b"\xed\xa0\x80/data.pkl")], {}, "a member's name is no text"),
    ([entry_of("\u00e9/data.pkl", EMPTY, flags=0)], {}, "a member's name is no text"),
    ([entry_of("a/data.pkl", EMPTY, extra=b"", size=2**32 - 1)], {}, "lacks the zip64 numbers"),
    ([entry_of("a/data.pkl", EMPTY, extra=struct.pack("<2HQ", 1, 16, 4), size=2**32 - 1)], {}, "lacks the zip64 numbers"),
    ([entry_of("a/data.pkl", EMPTY, extra=struct.pack("<2HI", 1, 4, 4), size=2**32 - 1)], {}, "lacks the zip64 numbers"),
    ([entry_of("a/data.pkl", EMPTY, local_extra=b"\1\0", local_size=2**32 - 1)], {}, "lacks the zip64 numbers"),
    ([PICKLE], {"comment": 1}, "does not end with the end record"),
    ([PICKLE], {"behind": b"x"}, "does not end with the end record"),
    ([PICKLE], {"behind": b"PK\5\6" + bytes(18)}, "central directory of 0 bytes at 0 does not end at byte"),
    ([PICKLE], {"begin": 0}, "central directory of 56 bytes at 0 does not end at byte 100"),
    ([PICKLE], {"length": 55}, "central directory of 55 bytes at 44 does not end at byte 100"),
    ([PICKLE], {"begin": 2**32 - 1, "wide": False}, "does not end at byte 100"),
    ([PICKLE], {"count": 2}, "central directory of 56 bytes has 2 entries"),
    ([PICKLE], {"count": 0}, "56 bytes of the central directory belong to no entry"),
    ([PICKLE, ORDER], {"count": 1}, "57 bytes of the central directory belong to no entry"),
    ([PICKLE], {"begin": 45, "length": 55}, "byte 0 of the central directory begins no entry"),
    ([PICKLE], {"disk": 1}, "spread over several disks"),
    ([PICKLE], {"wide": True, "disk": 1}, "spread over several disks"),
    ([PICKLE], {"wide": True, "end64": 0}, "there is no zip64 record at byte 100"),
    ([PICKLE], {"wide": True, "end64": 2**64 - 1}, "there is no zip64 record at byte 100"),
    ([PICKLE], {"wide": True, "record": 2**64 - 1}, "there is no zip64 record at byte 100"),
    ([PICKLE], {"wide": True, "count64": 2**40}, "zip64 record contradicts the end record"),
    ([PICKLE], {"wide": True, "count64": 2**40, "count": 0xFFFF}, "56 bytes has 1099511627776 entries"),
    ([PICKLE], {"wide": True, "length64": 2**63, "length": 2**32 - 1}, "of 9223372036854775808 bytes at 44 does not end"),
    ([PICKLE], {"wide": True, "begin64": 2**64 - 1, "begin": 2**32 - 1}, "does not end at byte 100"),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "changes", "message"), ARCHIVES, ids=range(len(ARCHIVES)))
def test_an_archive_that_lies_is_refused_with_the_reason(tmp_path, entries, changes, message):
    path = tmp_path / "bad.bin"
    write_parts(path, entries, **changes)
    with pytest.raises(CheckpointError, match=r"bad\.bin: .*" + message):
        open_torch(path)


def test_the_smallest_archive_by_hand_is_read(tmp_path):
    for changes in ({}, {"wide": True}, {"wide": True, "begin": 2**32 - 1, "begin64": 84}):
        write_parts(
            tmp_path / "x.bin",
            [PICKLE, ORDER] if "begin64" not in changes else [entry_of("a/data.pkl", EMPTY + b"", local_extra=bytes(40))],
            **changes,
        )
        assert open_torch(tmp_path / "x.bin") == {}


def test_too_many_members_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.bin", "w") as archive:
        for number in range(MOST_MEMBERS + 1):
            archive.writestr(f"a/{number}", b"")
    with pytest.raises(CheckpointError, match=r"has 20001 entries; 20000 are allowed"):
        open_archive(Source(tmp_path / "x.bin"))


def test_deflated_members_only_on_demand_and_never_beyond_the_limit(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.zeros(10**6))
    with pytest.raises(CheckpointError, match=r"member 'x\.npy': is compressed \(method 8\)"):
        open_archive(Source(path))
    member = open_archive(Source(path), allow_deflate=True)["x.npy"]
    assert np.load(io.BytesIO(inflate(member, 8_000_128))).shape == (10**6,)
    with pytest.raises(CheckpointError, match="8000128 bytes are more than the 8000127 allowed"):
        inflate(member, 8_000_127)
    with pytest.raises(ValueError, match=r"member: 'x\.npy' is compressed"):
        read_member(member)
    np.savez(path, x=np.arange(5))
    member = open_archive(Source(path))["x.npy"]
    assert inflate(member, 10**6) == read_member(member).tobytes()
    verify_member(member)


compressor = zlib.compressobj(wbits=-15)
UNENDED = compressor.compress(b"x" * 99) + compressor.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 98}, "does not inflate to exactly 98 bytes"),
        ({"size": 100}, "does not inflate to exactly 100 bytes"),
        ({"content": b"x" * 9}, "cannot be inflated: .*"),
        ({"crc": 5}, "its content has the CRC-32 .*, not 00000005"),
        ({"cut": 3}, "does not inflate to exactly 99 bytes"),
        ({"content": zlib.compress(bytes(10**7))[2:-4], "size": 1000}, "does not inflate to exactly 1000 bytes"),
        ({"content": UNENDED}, "does not inflate to exactly 99 bytes"),
        ({"more": b"xyz"}, "does not inflate to exactly 99 bytes"),
    ],
)
def test_a_deflated_member_that_lies_is_refused(tmp_path, changes, message):
    raw = zlib.compress(b"x" * 99)[2:-4]
    raw = changes.pop("content", raw[: len(raw) - changes.pop("cut", 0)] + changes.pop("more", b""))
    entry = entry_of("x", raw, **({"method": 8, "size": 99, "crc": zlib.crc32(b"x" * 99)} | changes))
    write_parts(tmp_path / "x.zip", [entry])
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="member 'x': " + message):
            inflate(open_archive(Source(tmp_path / "x.zip"), allow_deflate=True)["x"], 10**9)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_an_archive_beyond_4_gib_is_read(tmp_path):
    path = tmp_path / "x.bin"
    count = 2**29 + 3  # of 8 bytes; the file has a hole in their place
    write_torch(path, {"x": np.zeros(0), "y": np.arange(3)})
    members = open_archive(Source(path))
    pickled = read_member(members["archive/data.pkl"]).tobytes()
    empty = b"J" + struct.pack("<i", 0)
    wide = b"J" + struct.pack("<i", count)
    pickled = pickled.replace(empty + b"tQ" + empty + b"(" + empty + b"t", wide + b"tQ" + empty + b"(" + wide + b"t")
    entries = [
        entry_of("a/data.pkl", pickled),
        entry_of("a/data/0", b"", size=8 * count, packed=8 * count, hole=8 * count, crc=0),
        entry_of("a/data/1", np.arange(3).tobytes()),
    ]
    write_parts(path, entries)
    tensors = open_torch(path)
    assert tensors["x"].shape == (count,) and tensors["x"].view()[-1] == 0 and tensors["y"].copy().tolist() == [0, 1, 2]
    assert path.stat().st_size > 2**32 and Source(path).size > 2**32


# ---- pickles

ATTACKS = [
    (PROTO + b"cposix\nsystem\n" + text("touch x") + b"\x85R.", r"the global 'posix\.system' is not allowed"),
    (PROTO + b"cos\nsystem\n" + text("touch x") + b"\x85R.", r"the global 'os\.system'"),
    (b"cos\nsystem\n(S'touch x'\ntR.", "does not begin with one of the protocols"),
    (PROTO + b"c__builtin__\neval\n" + text("1") + b"\x85R.", r"the global '__builtin__\.eval'"),
    (PROTO + b"cbuiltins\nexec\n" + text("1") + b"\x85R.", r"the global 'builtins\.exec'"),
    (PROTO + b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n" + text("os") + b"\x85R" + text("x") + b"tR.",
     r"'builtins\.getattr'"),
    (PROTO + b"csubprocess\nPopen\n" + text("x") + b"\x85R.", r"'subprocess\.Popen'"),
    (PROTO + b"crunpy\n_run_code\n)R.", r"'runpy\._run_code'"),
    (PROTO + b"ctorch.hub\nload\n)R.", r"'torch\.hub\.load'"),
    (PROTO + b"ctorch\nload\n" + text("x") + b"\x85R.", r"'torch\.load'"),
    (PROTO + b"ctorch\nhub.load\n)R.", r"'torch\.hub\.load'"),
    (PROTO + b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", r"'torch\._utils\._rebuild_tensor_v2\.__globals__'"),
    (PROTO + b"ctorch._dynamo.guards\nGuardBuilder.get\n.", r"'torch\._dynamo\.guards\.GuardBuilder\.get'"),
    (PROTO + b"ctorch.storage\n_load_from_bytes\n)R.", r"'torch\.storage\._load_from_bytes'"),
    (PROTO + b"cnumpy\nload\n" + text("x") + b"\x85R.", r"'numpy\.load'"),
    (PROTO + b"cnumpy.core.multiarray\n_reconstruct\n)R.", r"'numpy\.core\.multiarray\._reconstruct'"),
    (PROTO + b"cfunctools\npartial\n(cos\nsystem\n" + text("x") + b"tR.", r"'functools\.partial'"),
    (PROTO + b"cpickle\nloads\n)R.", r"'pickle\.loads'"),
    (PROTO + b"c_codecs\nencode\n)R.", r"'_codecs\.encode'"),
    (PROTO + b"ccopyreg\n_reconstructor\n)R.", r"'copyreg\._reconstructor'"),
    (PROTO + b"cshutil\nrmtree\n)R.", r"'shutil\.rmtree'"),
    (PROTO + b"casyncio.unix_events\n_UnixSubprocessTransport._start\n)R.", r"'asyncio\.unix_events\."),
    (PROTO + b"cbdb\nBdb\n)R.", r"'bdb\.Bdb'"),
    (PROTO + b"cargparse\nNamespace\n)R.", r"'argparse\.Namespace' is not allowed: parameters need none such"),
    (PROTO + b"ccollections\nOrderedDict.fromkeys\n)R.", r"'collections\.OrderedDict\.fromkeys'"),
    (PROTO + b"cos system\n\n.", r"the global 'os system\.' is not allowed"),
    (PROTO + tensor() + b"cos\nsystem\n.", r"the global 'os\.system'"),  # after what is allowed, and never called
    (PROTO + b"}.cos\nsystem\n.", "bytes follow the STOP"),
    (PROTO + b"(ios\nsystem\n.", "the opcode INST at byte 3 is not allowed"),
    (PROTO + b"(cos\nsystem\n" + text("x") + b"o.", r"the global 'os\.system'"),
    (PROTO + b"(" + text("x") + b"o.", "the opcode OBJ"),
    (PROTO + b"ccollections\nOrderedDict\n)\x81.", "the opcode NEWOBJ at"),
    (PROTO + b"ccollections\nOrderedDict\n)}\x92.", "the opcode NEWOBJ_EX"),
    (PROTO + b"\x82\1.", "the opcode EXT1"),
    (PROTO + b"\x83\1\0.", "the opcode EXT2"),
    (PROTO + b"\x84\1\0\0\0.", "the opcode EXT4"),
    (PROTO + b"Pid\n.", "the opcode PERSID"),
    (PROTO + b"I1\n.", "the opcode INT"),
    (PROTO + b"S'x'\n.", "the opcode STRING"),
    (PROTO + b"Vx\n.", "the opcode UNICODE"),
    (PROTO + b"p0\n.", "the opcode PUT"),
    (PROTO + b"]q\0" + b"((h\0h\0l2l" * 9 + b".", "the opcode LIST"),
    (PROTO + b"}" + b"2" * 40 + b".", "the opcode DUP"),
    (PROTO + b"}0.", "the opcode POP at"),
    (PROTO + b"(1}.", "the opcode POP_MARK"),
    (PROTO + b"\x8b\xff\xff\xff\x7f.", "the opcode LONG4"),
    (PROTO + b"\x8d" + b"\xff" * 8 + b".", "the opcode BINUNICODE8"),
    (PROTO + b"\x8e" + b"\xff" * 8 + b".", "the opcode BINBYTES8"),
    (PROTO + b"\x96" + b"\xff" * 8 + b".", "the opcode BYTEARRAY8"),
    (PROTO + b"\x97.", "the opcode NEXT_BUFFER"),
    (PROTO + b"\x8f.", "the opcode EMPTY_SET"),
    (PROTO + b"\xff.", "the opcode 0xff at byte 2 is not allowed"),
    (b"\x80\4" + short("os") + short("system") + b"\x93.", r"the global 'os\.system'"),
    (b"\x80\4" + short("os") + b"\x94" + short("system") + b"\x94\x93.", r"the global 'os\.system'"),
    (b"\x80\4" + short("system") + b"q\5" + short("os") + b"q\6N" + b"h\6h\5\x93.", r"the global 'os\.system'"),
    (b"\x80\4" + short("os") + b"q\5" + short("collections") + b"q\6" + short("system") + b"q\7h\5q\6h\7\x93.", r"'os\.system'"),
    (b"\x80\4" + short("x") + b"q\5" + short("system") + b"r\5\0\0\0N" + short("os") + b"h\5\x93.", r"'os\.system'"),
    (b"\x80\4" + short("os") + b"}" + short("system") + b"\x93.", "STACK_GLOBAL at byte 15 does not come right after"),
    (b"\x80\4" + short("os") + b"\x85" + short("system") + b"\x93.", "does not come right after its two names"),
    (b"\x80\4(" + short("os") + b"(" + short("system") + b"\x93.", "does not come right after its two names"),
    (b"\x80\4" + short("collections") + short("OrderedDict") + b"\x93\x93.", "STACK_GLOBAL at byte 29 does not come right"),
    (b"\x80\4\x93.", "does not come right after its two names"),
    (b"\x80\4h\0h\0\x93.", "does not come right after its two names"),
]  # fmt: skip
BROKEN = [
    (b"", "ends without STOP"),
    (b"\x80", "the argument of PROTO at byte 1 is cut off"),
    (b"}.", "does not begin with one of the protocols 2 to 5"),
    (b"\x80\1}.", "does not begin with one of the protocols 2 to 5"),
    (b"\x80\6}.", "does not begin with one of the protocols 2 to 5"),
    (PROTO + PROTO + b"}.", "does not begin with one of the protocols 2 to 5"),
    (PROTO + b"}", "ends without STOP"),
    (PROTO, "ends without STOP"),
    (PROTO + b".", "leaves 0 values and 0 marks"),
    (PROTO + b"}}.", "leaves 2 values and 0 marks"),
    (PROTO + b"}(.", "leaves 1 values and 1 marks"),
    (PROTO + b"X\xff\xff\xff\xff.", "BINUNICODE at byte 7 says that 4294967295 bytes follow; there are 1"),
    (PROTO + b"\x8c\5ab.", "SHORT_BINUNICODE at byte 4 says that 5 bytes follow; there are 3"),
    (PROTO + b"\x8a\xff.", "LONG1 at byte 4 says that 255 bytes follow"),
    (PROTO + b"X\1\0\0", "the argument of BINUNICODE at byte 3 is cut off"),
    (PROTO + b"X\3\0\0\0\xed\xa0\x80.", "the text at byte 7 is not UTF-8"),
    (PROTO + b"X\1\0\0\0\xff.", "the text at byte 7 is not UTF-8"),
    (PROTO + b"ccollections\nOrderedDict", "GLOBAL at byte 3 has no two lines"),
    (PROTO + b"c" + b"x" * 500, "GLOBAL at byte 3 has no two lines of at most 200 bytes"),
    (PROTO + b"c\xff\nx\n.", "the text at byte 3 is not UTF-8"),
    (PROTO + b"\x95" + b"\xff" * 8 + b"}.", "the frame at byte 2 has 18446744073709551615 bytes"),
    (PROTO + b"\x95" + struct.pack("<Q", 3) + b"}.", "the frame at byte 2 has 3 bytes, which it cannot have"),
    (PROTO + b"\x95" + struct.pack("<Q", 3) + text("x") + b".", "the opcode BINUNICODE at byte 11 crosses the end of its frame"),
    (PROTO + b"\x95" + struct.pack("<Q", 11) + b"\x95" + struct.pack("<Q", 2) + b"}.", "the frame at byte 11 has 2 bytes"),
    (PROTO + b"t.", "TUPLE at byte 2 needs a MARK"),
    (PROTO + b"e.", "APPENDS at byte 2 needs a MARK"),
    (PROTO + b"N(\x85.", "TUPLE1 at byte 4 needs 1 values"),
    (PROTO + b"NN\x87.", "TUPLE3 at byte 4 needs 3 values"),
    (PROTO + b"}(N" + text("x") + b"(s.", "SETITEM at byte 12 needs 2 values"),
    (PROTO + b"a.", "APPEND at byte 2 needs 1 values"),
    (PROTO + b"Na.", "APPEND at byte 3 needs 1 values"),
    (PROTO + b"}Na.", "APPEND at byte 4 changes a value of type dict, not a list"),
    (PROTO + b")(Ne.", "changes a value of type tuple, not a list"),
    (PROTO + b"]" + text("x") + b"Ns.", "SETITEM at byte 10 changes a value of type list, not a dict"),
    (PROTO + b"}(Nu.", "SETITEMS at byte 5 has a key without a value"),
    (PROTO + b"}NNs.", "has a key of type NoneType"),
    (PROTO + b"})Ns.", "has a key of type tuple"),
    (PROTO + b"}\x88Ns.", "has a key of type bool"),
    (PROTO + b"}G" + bytes(8) + b"Ns.", "has a key of type float"),
    (PROTO + b"}" + number(2**63) + b"Ns.", "has a key of type int, not a text or an integer of 64 bits"),
    (PROTO + b"}" + (text("x") + b"Ns") * 2 + b".", "SETITEM at byte 18 adds the key 'x', which is there already"),
    (PROTO + b"}(" + (text("x") + b"N") * 2 + b"u.", "adds the key 'x', which is there already"),
    (PROTO + b"q\0.", "BINPUT at byte 2 needs 1 values"),
    (PROTO + b"\x94.", "MEMOIZE at byte 2 needs 1 values"),
    (PROTO + b"h\0.", "BINGET at byte 2 needs the place 0 of the memo, which is empty"),
    (PROTO + b"j\xff\xff\xff\xff.", "LONG_BINGET at byte 2 needs the place 4294967295 of the memo"),
    (PROTO + b"N)R.", "REDUCE at byte 4 calls a value of type NoneType, which is no function"),
    (PROTO + text("os") + b")R.", "calls a value of type str, which is no function"),
    (PROTO + b"ctorch\nFloatStorage\n)R.", r"calls torch\.FloatStorage, which is no function"),
    (PROTO + b"ccollections\nOrderedDict\n]R.", "has arguments of type list, not tuple"),
    (PROTO + b"ccollections\nOrderedDict\n]\x85R.", "an OrderedDict is not made empty"),
    (PROTO + tensor() + b"}" + text("__setstate__") + b"Nsb.", "BUILD at byte .* changes a value of type Tensor, not a dict"),
    (PROTO + b"ccollections\nOrderedDict\n}b.", "BUILD at byte .* changes a value of type Global, not a dict"),
    (PROTO + b"]}b.", "changes a value of type list, not a dict"),
    (PROTO + ORDERED + b"Nb.", "has a state of type NoneType, not dict"),
    (PROTO + ORDERED + b"}}\x86b.", "has a state of type tuple, not dict"),
    (PROTO + b"NQ.", "asks for an object by a NoneType"),
    (PROTO + b"}" * (MOST_INSTRUCTIONS + 1) + b".", "has more than 300000 instructions"),
]
WRONG = [
    (b"N.", "holds a value of type NoneType, not a dict of tensors"),
    (tensor() + b".", "holds a value of type Tensor, not a dict"),
    (b"]q\0h\0a.", "holds a value of type list, not a dict"),
    (b"}" + text("x") + b"Ns.", r"holds no tensors by name; its first entries are \['x'\]"),
    (b"}" + text("net") + b"}" + text("x") + tensor() + b"ss.", r"holds no tensors by name; its first entries are \['net'\]"),
    (b"}K\1" + tensor() + b"s.", "a tensor's name is the number 1, not a text"),
    (b")Q.", "a persistent id is not that of a storage"),
    (b"(" + text("module") + b"NNNNtQ.", "a persistent id is not that of a storage"),
    (storage(more=b")") + b".", "a persistent id is not that of a storage"),
    (b"(" + text("storage") + b"N" + text("0") + text("cpu") + b"K\1tQ.", "type of a storage is not a class of storages"),
    (b"(" + text("storage") + REBUILD + text("0") + text("cpu") + b"K\1tQ.", "type of a storage is not a class of storages"),
    (b"(" + text("storage") + b"ctorch\nFloatStorage\nK\0" + text("cpu") + b"K\1tQ.", "the key of a storage is no short text"),
    (storage(key="0" * 101) + b".", "the key of a storage is no short text"),
    (storage(count=-1) + b".", "or its count no size"),
    (storage(count=2**63) + b".", "or its count no size"),
    (storage(count=6) + storage(count=5) + b"\x86.", "the storage '0' occurs with two types or counts"),
    (storage() + storage(kind="IntStorage") + b"\x86.", "the storage '0' occurs with two types or counts"),
    (REBUILD + b")R.", "a tensor is not made from a storage, an offset, sizes and strides"),
    (REBUILD + b"(NNNNtR.", "a tensor is not made from a storage"),
    (tensor(offset=-1) + b".", "a tensor is not made from a storage, an offset"),
    (tensor(sizes=(-2, -3)) + b".", "sizes and strides are not equally many sizes"),
    (tensor(strides=(-3, 1)) + b".", "sizes and strides are not equally many sizes"),
    (tensor(strides=(1,)) + b".", "sizes and strides are not equally many sizes"),
    (tensor(sizes=(1,) * 65, strides=(1,) * 65) + b".", "not equally many sizes, at most 64"),
    (tensor(sizes=(2**63,), strides=(1,)) + b".", "not equally many sizes"),
    (tensor(more=b"}" + text("neg") + b"\x88s") + b".", "a conjugated or negated view"),
    (tensor(more=b"NN") + b".", "a tensor is not made from"),
    (b"ctorch._utils\n_rebuild_parameter\n(N\x88NtR.", "a parameter is not made from a tensor"),
    (b"ctorch._utils\n_rebuild_parameter\n" + tensor() + b"\x85R.", "a parameter is not made from a tensor"),
]
MISFITS = [
    (tensor(sizes=(2, 4), strides=(4, 1)), r"offset 0, sizes \(2, 4\), strides \(4, 1\) do not fit into a storage of 6 elements"),
    (tensor(strides=(4, 1)), "do not fit into a storage of 6 elements"),
    (tensor(offset=1), "offset 1, .* do not fit"),
    (tensor(offset=7, sizes=(0,), strides=(1,)), "offset 7, .* do not fit"),
    (tensor(offset=2**62), "do not fit"),
    (tensor(sizes=(2**62,), strides=(1,)), "do not fit"),
    (tensor(sizes=(2**62,), strides=(0,)), r"strides \(0,\) do not fit"),
    (tensor(sizes=(2**31, 2**31), strides=(0, 0)), "do not fit"),
    (tensor(sizes=(7,), strides=(0,)), "do not fit"),
    (tensor(sizes=(2, 1), strides=(2**62, 1)), "do not fit"),
    (tensor(sizes=(2**62,) * 64, strides=(2**62,) * 64), "do not fit"),
]


@pytest.mark.parametrize(("pickled", "message"), ATTACKS, ids=range(len(ATTACKS)))
def test_a_known_attack_is_refused_by_name_before_anything_is_built(tmp_path, monkeypatch, pickled, message):
    monkeypatch.setattr("convbert_np.checkpoints.torch_file.unpickle", lambda *_: pytest.fail("something is built"))
    monkeypatch.chdir(tmp_path)
    path = write_pickle(tmp_path / "bad.bin", pickled)
    with pytest.raises(CheckpointError, match=r"bad\.bin: .*" + message):
        open_torch(path)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.bin"]


@pytest.mark.parametrize("pickled", [pickled for pickled, _ in ATTACKS if b"os\nsystem" in pickled and b"}." not in pickled])
def test_the_legacy_form_refuses_attacks_in_each_of_its_pickles(tmp_path, pickled):
    content = (FIXTURES / "state_dict.legacy.bin").read_bytes()
    ends, place = [], 0
    for table in ({}, {}, {}, None):
        allowed = table if table is not None else AnyGlobal()
        place = check_pickle("x", memoryview(content), place, allowed)  # type: ignore[arg-type]
        ends.append(place)
    for place in (0, *ends):
        (tmp_path / "bad.bin").write_bytes(content[:place] + pickled + content[place:])
        with pytest.raises(CheckpointError, match=r"is not allowed|does not begin with|begins with"):
            open_torch(tmp_path / "bad.bin")


class AnyGlobal(dict):
    def __contains__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize(("pickled", "message"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_pickle_is_refused_with_the_reason(tmp_path, pickled, message):
    path = write_pickle(tmp_path / "bad.bin", pickled)
    with pytest.raises(CheckpointError, match=r"bad\.bin: .*" + message):
        open_torch(path)


@pytest.mark.parametrize(("pickled", "message"), WRONG, ids=range(len(WRONG)))
def test_a_pickle_of_something_else_is_refused_with_the_reason(tmp_path, pickled, message):
    path = write_pickle(tmp_path / "bad.bin", PROTO + pickled)
    with pytest.raises(CheckpointError, match=r"bad\.bin: .*" + message):
        open_torch(path)


@pytest.mark.parametrize(("value", "message"), MISFITS, ids=range(len(MISFITS)))
def test_a_tensor_beyond_its_storage_is_refused_by_name(tmp_path, value, message):
    path = write_pickle(tmp_path / "bad.bin", dict_of(value))
    with pytest.raises(CheckpointError, match=r"bad\.bin: tensor 'x': .*" + message):
        open_torch(path)


def test_a_storage_that_is_not_its_member_is_refused(tmp_path):
    path = tmp_path / "bad.bin"
    for size in (0, 20, 23, 25, 48):
        write_pickle(path, dict_of(tensor()), bytes(size))
        with pytest.raises(CheckpointError, match=rf"'a/data/0': has {size} bytes; 6 elements of float32 need 24"):
            open_torch(path)
    write_pickle(path, dict_of(tensor(of=storage(key="1"))))
    with pytest.raises(CheckpointError, match="there is no member for the storage '1'"):
        open_torch(path)
    write_pickle(path, dict_of(tensor(of=storage(key="../data.pkl"))))
    with pytest.raises(CheckpointError, match=r"no member for the storage '\.\./data\.pkl'"):
        open_torch(path)
    write_pickle(path, dict_of(tensor(of=storage(count=2**62))))
    with pytest.raises(CheckpointError, match="4611686018427387904 elements of float32 need 18446744073709551616"):
        open_torch(path)


def test_what_torch_allows_is_read_by_hand_too(tmp_path):
    data = np.arange(6, dtype=np.float32)
    path = tmp_path / "x.bin"
    accepted = {
        tensor(): data.reshape(2, 3),
        tensor(strides=(1, 2)): data.reshape(3, 2).T,
        tensor(more=b"}"): data.reshape(2, 3),
        tensor(offset=6, sizes=(0,), strides=(1,)): data[:0],
        tensor(offset=5, sizes=(1, 1), strides=(2**62, 2**62)): data[5:].reshape(1, 1),
        tensor(sizes=(2, 1, 2), strides=(3, 2**62, 1)): data.reshape(2, 3)[:, None, :2],
        tensor(offset=2, sizes=(3, 2), strides=(0, 1)): np.broadcast_to(data[2:4], (3, 2)),
        b"ctorch._utils\n_rebuild_tensor\n(" + storage() + number(1) + numbers(2) + numbers(4) + b"tR": data[1::4],
    }
    for pickled, expected in accepted.items():
        write_pickle(path, dict_of(pickled), data.tobytes())
        assert_same(open_torch(path), {"x": ("float32", np.ascontiguousarray(expected).reshape(expected.shape))})
    write_pickle(path, dict_of(tensor(sizes=(0, 2**62, 2**62), strides=(1, 1, 1))), data.tobytes())
    with pytest.raises(CheckpointError, match=r"tensor 'x': the shape .* is impossible"):
        open_torch(path)["x"].view()


BOMBS: dict[str, Callable[[int], bytes]] = {
    "lists in lists": lambda n: PROTO + b"]" * n + b"a" * (n - 1) + b".",
    "tuples in tuples": lambda n: PROTO + b")" + b"\x85" * (2 * n - 5) + b".",
    "dicts in dicts": lambda n: PROTO + (b"}K\0" * (n // 2)) + b"}" + b"s" * (n // 2) + b".",
    "marks": lambda n: PROTO + b"(" * n + b".",
    "laughs": lambda n: PROTO + b")q\0" + b"h\0h\0\x86q\0" * (n // 4) + b".",
    "dicts": lambda n: PROTO + b"](" + b"}" * n + b"e.",
    "memo": lambda n: PROTO + b"".join(b"Nr" + struct.pack("<I", 10_000 * k) for k in range(n)) + b".",
    "keys": lambda n: PROTO + b"}(" + b"".join(number((k - n // 3) << 40) + b"N" for k in range(2 * n // 3)) + b"u.",
    "characters": lambda n: PROTO + text("\U0001f600" + "a" * (8 * 10**6)) + b".",
    "long names": lambda n: PROTO + text("a" * 7 * 10**6) + b"q\0" + (b"}h\0Ns" * (n // 4)) + b".",
    "long keys": lambda n: PROTO + text("a" * 10**6) + b"q\0(" + text("storage") + b"ctorch\nFloatStorage\nh\0h\0K\1tQ.",
    "itself": lambda n: PROTO + b"}q\0" + text("state_dict") + b"h\0s.",
    "itself in a list": lambda n: PROTO + b"]q\0h\0ah\0h\0a.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_many_instructions_is_refused_in_little_memory(tmp_path, name):
    path = write_pickle(tmp_path / "bad.bin", BOMBS[name](MOST_INSTRUCTIONS // 5))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            open_torch(path)
        assert tracemalloc.get_traced_memory()[1] < 80_000_000
    finally:
        tracemalloc.stop()


def test_unpickle_makes_data_that_may_contain_itself():
    pickled = memoryview(
        b"\x80\2]q\0(h\0K\5M\1\1J\xff\xff\xff\xffG?\xf8" + bytes(6) + b"N\x88\x89" + text("\u00e9") + b"K\1K\2K\3\x87e."
    )
    assert check_pickle("x", pickled, 0, {}) == len(pickled)
    value = unpickle("x", pickled, 0, {})
    assert value[0] is value and value[1:] == [5, 257, -1, 1.5, None, True, False, "\u00e9", (1, 2, 3)]


# ---- the legacy form

MAGIC = b"\x80\2\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b"."
VERSION = b"\x80\2M\xe9\3."
SYSTEM = dict_of(b"\x88", text("little_endian"))
KEYS = b"\x80\2]" + text("0") + b"a."
DATA = struct.pack("<q", 6) + bytes(24)
OBJECT = dict_of(tensor(of=storage(more=b"N")))
START = MAGIC + VERSION + SYSTEM
WHOLE = START + OBJECT
LEGACY = [
    (b"\x80\2K\1." + VERSION, "is a pickle, but does not begin with the magic number"),
    (MAGIC, "ends without STOP"),
    (MAGIC + b"\x80\2K\1.", "another version than 1001"),
    (MAGIC + VERSION + b"\x80\2N.", "does not say that it is little-endian"),
    (MAGIC + VERSION + b"\x80\2}.", "does not say that it is little-endian"),
    (MAGIC + VERSION + dict_of(b"\x89", text("little_endian")), "does not say that it is little-endian"),
    (MAGIC + VERSION + b"\x80\2" + b"}" * 2000, "has more than 1000 instructions"),
    (WHOLE, "ends without STOP"),
    (WHOLE + b"\x80\2N.", "the list of keys is not that of the storages"),
    (WHOLE + b"\x80\2].", "the list of keys is not that of the storages"),
    (WHOLE + b"\x80\2]" + text("1") + b"a.", "the list of keys is not that of the storages"),
    (WHOLE + b"\x80\2]" + (text("0") + b"a") * 2 + b".", "the list of keys is not that of the storages"),
    (START + dict_of(tensor(of=storage(more=b")"))) + KEYS + DATA, "a persistent id is not that of a storage"),
    (WHOLE + KEYS + DATA[:7], "ends before the storage '0'"),
    (WHOLE + KEYS + DATA[:-1], "storage '0' has 6 elements, its tensors need 6; the file has"),
    (WHOLE + KEYS + struct.pack("<q", 5) + DATA[8:], "storage '0' has 5 elements, its tensors need 6"),
    (WHOLE + KEYS + struct.pack("<q", -6) + DATA[8:], "storage '0' has -6 elements"),
    (WHOLE + KEYS + DATA + b"x", "1 bytes at the end belong to no storage"),
    (START + dict_of(tensor(of=storage(count=2**62))) + KEYS + struct.pack("<q", 2**62), "has 4611686018427387904 elements"),
    (START + dict_of(tensor(offset=1)) + KEYS + DATA, "tensor 'x': offset 1, .* do not fit"),
]  # fmt: skip


def test_the_smallest_legacy_file_by_hand_is_read(tmp_path):
    (tmp_path / "x.bin").write_bytes(
        MAGIC + VERSION + SYSTEM + OBJECT + KEYS + DATA[:8] + np.arange(6, dtype=np.float32).tobytes()
    )
    assert open_torch(tmp_path / "x.bin")["x"].copy().tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(("content", "message"), LEGACY, ids=range(len(LEGACY)))
def test_a_legacy_file_that_lies_is_refused_with_the_reason(tmp_path, content, message):
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bad\.bin: .*" + message):
        open_torch(path)


def test_a_storage_may_not_occur_twice_in_the_list_of_keys(tmp_path):
    two = b"\x80\2}" + text("x") + tensor() + b"s" + text("y") + tensor(of=storage(key="1")) + b"s."
    keys = b"\x80\2]" + (text("0") + b"a") * 2 + b"."
    (tmp_path / "bad.bin").write_bytes(MAGIC + VERSION + SYSTEM + two + keys + DATA + DATA)
    with pytest.raises(CheckpointError, match="the storage '0' occurs twice"):
        open_torch(tmp_path / "bad.bin")
