"""Fuzzed zip archives, and those of NumPy's arrays among them."""

import io
import random
import struct
import zlib
from functools import cache
from typing import NamedTuple

import numpy as np
from fuzz_parts import CODES, FIXTURES, NAMES, Case, Liar, array_of, arrays, blind

WIDE = 0xFFFFFFFF


class Part(NamedTuple):
    """A member of an archive: name, content, whether it is compressed; `raw` is what stands for the compressed bytes."""

    name: bytes
    content: bytes
    deflated: bool = False
    raw: bytes | None = None


# Archives.


def archive(liar: Liar, parts: list[Part], align: int = 1) -> bytes:
    """A zip archive, right where the liar does not lie."""
    rng, content, central, places = liar.rng, b"", b"", []
    zip64 = rng.random() < 0.1
    for part in liar.some(parts):
        raw = part.raw if part.raw is not None else deflate(part.content) if part.deflated else part.content
        fields = {
            "flags": 0x800 | (8 if rng.random() < 0.1 else 0),
            "method": 8 if part.deflated else 0,
            "crc": zlib.crc32(part.content),
            "packed": len(raw),
            "size": len(part.content),
        }
        fields = {key: liar.number(value) for key, value in fields.items()}  # in both headers: a consistent lie
        place = liar.pick(len(content), rng.choice(places or [0]), rng.randrange(len(content) + 1))
        places.append(len(content))
        late = fields["flags"] & 8
        local = {**fields, **({"crc": 0, "packed": 0, "size": 0} if late else {})}
        name = liar.text(part.name)
        extra = wide_extra(liar, [local["size"], local["packed"]] if zip64 and not late else [])
        start = len(content) + 30 + len(part.name) + len(extra)
        pad = struct.pack("<HH", 0xD935, -(start + 4) % align) + bytes(-(start + 4) % align) if align > 1 else b""
        content += zip_fields(liar, b"PK\3\4", "<5H", (20, local["flags"], local["method"], 0, 0), local, zip64 and not late)
        content += liar.pack("<HH", len(name), len(extra + pad)) + name + extra + pad + raw
        extra = wide_extra(liar, [fields["size"], fields["packed"], place] if zip64 else [])
        name = liar.text(part.name)
        central += zip_fields(liar, b"PK\1\2", "<6H", (20, 20, fields["flags"], fields["method"], 0, 0), fields, zip64)
        central += liar.pack("<5HII", len(name), len(extra), 0, 0, 0, 0, WIDE if zip64 else place) + name + extra
    return content + central + ends(liar, len(places), len(central), len(content), zip64)


def zip_fields(liar: Liar, magic: bytes, layout: str, numbers: tuple[int, ...], fields: dict[str, int], zip64: bool) -> bytes:
    """The part that local and central headers share."""
    sizes = (WIDE, WIDE) if zip64 else (fields["packed"], fields["size"])
    return liar.text(magic) + liar.pack(layout, *numbers) + liar.pack("<III", fields["crc"], *sizes)


def wide_extra(liar: Liar, numbers: list[int]) -> bytes:
    """The extra field with numbers of 8 bytes; none for none."""
    if not numbers:
        return b""
    return liar.pack("<HH", 1, 8 * len(numbers)) + liar.pack(f"<{len(numbers)}Q", *numbers)


def ends(liar: Liar, count: int, size: int, begin: int, zip64: bool) -> bytes:
    """The records at the end of an archive."""
    text = b""
    count, size, begin = liar.number(count), liar.number(size), liar.number(begin)
    if zip64:
        text += liar.text(b"PK\6\6") + liar.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, count, count, size, begin)
        text += liar.text(b"PK\6\7") + liar.pack("<IQI", 0, begin + size, 1)
    short = (0xFFFF, 0xFFFF, WIDE, WIDE) if zip64 and liar.rng.random() < 0.5 else (count, count, size, begin)
    text += liar.text(b"PK\5\6") + liar.pack("<HH", 0, 0) + liar.pack("<HHIIH", *short, 0)
    return text + liar.pick(b"", b"\0", b"PK\5\6" + bytes(18))


def deflate(content: bytes) -> bytes:
    """A deflate stream without a header."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@cache
def bomb(size: int, start: bytes = b"") -> tuple[bytes, int]:
    """A deflate stream of so many zeros, and the CRC-32 of what it inflates to."""
    packer, crc = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS), zlib.crc32(start)
    content = packer.compress(start)
    for done in range(0, size, 1 << 16):
        piece = bytes(min(1 << 16, size - done))
        crc = zlib.crc32(piece, crc)
        content += packer.compress(piece)
    return content + packer.flush(), crc


# NumPy's arrays.


def npy(liar: Liar, array: np.ndarray) -> bytes:
    """A .npy file."""
    rng = liar.rng
    descr = liar.pick(
        array.dtype.str,
        "|O",
        "<c8",
        "<U4",
        "|S3",
        ">f4",
        "=f4",
        "<f4'",
        "[('a','<f4')]",
        "<i16",
        "",
        "<f",
        "|V8",
        "<M8[s]",
        "<f16",
    )
    order = rng.random() < 0.2 and array.ndim > 1
    shape = liar.some([liar.number(size) for size in array.shape])
    listed = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    listed = liar.pick(
        listed,
        listed + ",",
        "3",
        "1" * 5000,
        "1, " * 70,
        "-1,",
        "01,",
        "0x3,",
        "1L,",
        "2.0,",
        "0, 9999999999999999999",
        "()",
        "[3]",
    )
    fields = [
        f"'descr': '{descr}'",
        f"'fortran_order': {liar.pick(str(order), 'None', '1', 'true', '__import__')}",
        f"'shape': ({listed})",
    ]
    header = "{" + ", ".join(liar.some(fields)) + ", }"
    if liar.lies():
        header = rng.choice(
            (
                header * 2,
                "(" * 5000 + header,
                header.replace("'", '"'),
                "__import__('os').system('touch canary')",
                header + "#",
                "{" * 300,
            )
        )
    version = rng.choice((1, 1, 1, 2, 3))
    width = 2 if version == 1 else 4
    header = header.encode("latin-1")
    header += b" " * (-(8 + width + len(header) + 1) % 64) + b"\n"
    data = array.T.tobytes() if order else array.tobytes()
    data = liar.pick(data, data[:-1], data + b"\0", b"", b"\2" * len(data))
    length = liar.pack("<H" if width == 2 else "<I", len(header))
    return liar.text(b"\x93NUMPY") + liar.pack("<BB", version, 0) + length + liar.text(header) + data


def npz(rng: random.Random) -> Case:
    """A file of NumPy's arrays, sometimes a bomb."""
    liar = Liar(rng)
    codes = (*CODES.values(), ">f4", ">i8", "<u2")
    given = arrays(rng, codes)
    parts = [
        Part(
            f"{liar.pick(name, *NAMES)}{liar.pick('.npy', '', '.npz')}".encode("utf-8", "surrogatepass")[:60_000],
            npy(liar, array),
            rng.random() < 0.3,
        )
        for name, array in given.items()
    ]
    parts = [part._replace(raw=blind(rng, deflate(part.content), 1)) if part.deflated and liar.lies() else part for part in parts]
    if rng.random() < 0.01:  # damaged behind the header
        liar.told += 1
        large = npy(Liar(rng, 0.0), np.frombuffer(bytes(rng.choices(range(9), k=30_000)), np.uint8))
        packed = deflate(large)
        parts.append(Part(b"large.npy", large, True, packed[:7000] + rng.randbytes(500) + packed[7500:]))
    if rng.random() < 0.05:
        liar.told += 1
        parts += bombs(rng)
    content = archive(liar, parts)
    name = rng.choice(("x.npz", "x.npz", "x.npz", "x.bin"))
    native = {key: array.astype(array.dtype.newbyteorder("=")) for key, array in given.items()}
    return Case({name: content}, name, "npz", None if liar.told or name != "x.npz" else native)


def bombs(rng: random.Random) -> list[Part]:
    """Members that inflate to far more than the file, honestly declared or not."""
    size = rng.choice((1 << 20, 1 << 22, 1 << 26))
    start = npy(Liar(rng, 0.0), np.zeros(0, np.uint8)).replace(b"(0,)", b"(%d,)" % size)[:128]
    start = start[:127].rstrip(b"\n").ljust(127) + b"\n"
    raw, _ = bomb(size, start)
    declared = rng.choice((len(start) + size, len(start) + 64, 1 << 19, 0))
    lying = Part(b"bomb.npy", bytes(min(declared, 1 << 20)), True, raw)
    return rng.choice(([lying], [lying] * 3, [lying._replace(name=b"%d.npy" % i) for i in range(20)]))


@cache
def npz_seeds() -> list[bytes]:
    """Files that NumPy writes."""
    rng, found = random.Random(1), []
    for save in (np.savez, np.savez_compressed):
        for _ in range(4):
            file = io.BytesIO()
            save(file, **{f"x{i}": array_of(rng, rng.choice(list(CODES.values())), (2, 3)) for i in range(3)})  # type: ignore[arg-type]
            found.append(file.getvalue())
    return found + [path.read_bytes() for path in sorted(FIXTURES.glob("tf1/*/expected.npz"))]


def npz_blind(rng: random.Random) -> Case:
    """A file of NumPy's with blind mutations."""
    content = blind(rng, rng.choice(npz_seeds()), rng.choice((1, 1, 3)), rng.choice(npz_seeds()))
    return Case({"x.npz": content}, "x.npz", "npz")
