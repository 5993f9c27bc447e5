"""Fuzzed TensorFlow bundles: tables and messages of protocol buffers, with right checksums around the lies."""

import random
import re
import struct
from functools import cache

import numpy as np
from fuzz_parts import FIXTURES, NAMES, Case, Liar, arrays, blind

from convbert_np.checkpoints.crc32c import crc32c, masked
from convbert_np.checkpoints.tf_table import read_table

UNDEFINED = 2**64 - 1


def varint(number: int) -> bytes:
    number, data = number & UNDEFINED, bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


def field(liar: Liar, number: int, value: int | bytes) -> bytes:
    """A field of a message of protocol buffers."""
    if liar.lies(0.2):
        return liar.rng.choice(
            (b"", b"\x0b", varint(number * 8 + 5) + bytes(4), varint(8 * number + 1) + bytes(8), b"\xff" * 11, b"\x00\x00")
        )
    if isinstance(value, int):
        return varint(number * 8) + varint(liar.number(value))
    return varint(number * 8 + 2) + varint(liar.number(len(value))) + value


def table(liar: Liar, records: list[tuple[bytes, bytes]], size: int = 0) -> bytes:
    """A table of records in one block or several, with right checksums."""
    rng, content, listed = liar.rng, b"", []
    size = size or rng.choice((1, 2, 5, 1000))
    for first in range(0, max(1, len(records)), size):
        part = records[first : first + size]
        built = block(liar, part)
        listed.append((part[-1][0] if part else b"", varint(liar.number(len(content))) + varint(liar.number(len(built)))))
        content += sealed(liar, built)
    index = block(liar, liar.some(listed))
    begin = len(content)
    content += sealed(liar, index)
    handles = varint(0) * 2 + varint(liar.number(begin)) + varint(liar.number(len(index)))
    return content + handles[:40].ljust(40, b"\0") + liar.text(struct.pack("<Q", 0xDB4775248B80FB57))


def block(liar: Liar, records: list[tuple[bytes, bytes]]) -> bytes:
    """A block of records, whose keys share their beginnings between restart points."""
    rng, content, restarts, last = liar.rng, b"", [0], b""
    every = rng.choice((1, 2, 16))
    for number, (key, value) in enumerate(records):
        if number and number % every == 0:
            restarts.append(len(content))
            last = b""
        shared = next((i for i, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last)))
        shared = rng.choice((shared, shared, 0))
        lengths = (shared, len(key) - shared, len(value))
        content += b"".join(varint(liar.number(length)) for length in lengths) + key[shared:] + value
        last = key
    points = b"".join(liar.pack("<I", place) for place in liar.some(restarts))
    return content + points + liar.pack("<I", len(restarts))


def sealed(liar: Liar, content: bytes) -> bytes:
    """A block with its compression and checksum."""
    content = liar.text(content) + liar.pack("<B", 0)
    return content + liar.pack("<I", masked(crc32c(content)))


KINDS = {"<f4": 1, "<f8": 2, "<i4": 3, "|u1": 4, "<i8": 9, "|b1": 10, "<f2": 19}


def entry(liar: Liar, array: np.ndarray, shard: int, begin: int) -> bytes:
    """What the index says of a variable."""
    rng = liar.rng
    shape = liar.some(list(array.shape))
    if liar.lies(0.3):
        shape = rng.choice(([0, 2**62, 2**62], [1] * 65, [2**62, 4], [1] * 64, [0] * 64))
    axes = b"".join(field(liar, 2, field(liar, 1, size)) for size in shape) + liar.pick(
        b"", field(liar, 3, 1), field(liar, 2, b"") * 1001
    )
    fields = [field(liar, 1, liar.pick(KINDS[array.dtype.str], 7, 8, 14, 20, 101)), field(liar, 2, axes), field(liar, 3, shard),
              field(liar, 4, begin), field(liar, 5, array.nbytes), b"\x35" + liar.pack("<I", masked(crc32c(array.tobytes()))),
              liar.pick(b"", field(liar, 7, b"\x0a\0"))]  # fmt: skip
    return b"".join(liar.some(fields))


def bundle(rng: random.Random) -> Case:
    """A bundle with lies and right checksums."""
    liar = Liar(rng)
    shards = rng.choice((1, 1, 2))
    data, given, records = [b""] * shards, arrays(rng), []
    named = {liar.pick(rng.choice(VARIABLES) if rng.random() < 0.4 else name, *NAMES): array for name, array in given.items()}
    for name, array in sorted(named.items(), key=lambda item: item[0].encode("utf-8", "surrogatepass")):
        shard = rng.randrange(shards)
        records.append((name.encode("utf-8", "surrogatepass")[:3000], entry(liar, array, shard, len(data[shard]))))
        data[shard] += liar.pick(array.tobytes(), array.tobytes()[:-1])
    header = field(liar, 1, shards) + liar.pick(b"", field(liar, 2, 1)) + field(liar, 3, field(liar, 1, 1))
    index = table(liar, liar.some([(b"", header), *records]))
    if rng.random() < 0.01:
        index, liar.told = bundle_amounts(rng), 1
    return bundle_case(rng, liar, index, data, named)


VARIABLES = (
    "electra/embeddings/word_embeddings", "electra/embeddings/LayerNorm/gamma",
    "electra/encoder/layer_0/attention/self/query/kernel",
    "electra/encoder/layer_1/attention/self/conv_attn_key/bias", "electra/encoder/layer_0/intermediate/g_dense/kernel",
    "electra/encoder/layer_0/intermediate/dense/kernel", "generator/encoder/layer_0/output/dense/bias",
    "generator_predictions/output_bias",
    "electra/encoder/layer_9999/output/dense/bias", "electra/encoder/layer_0/attention/self/conv_attn_key/depthwise_kernel",
    "electra/embeddings/word_embeddings/adam_m", "generator/embeddings/word_embeddings", "discriminator_predictions/dense/kernel",
)  # fmt: skip


def bundle_case(rng: random.Random, liar: Liar, index: bytes, data: list[bytes], named: dict[str, np.ndarray] | None) -> Case:
    """The files of a bundle, opened by its index or by its directory."""
    files = {f"m.data-{i:05}-of-{len(data):05}": content for i, content in enumerate(data)} | {"m.index": index}
    if liar.lies(0.5):
        files.pop(rng.choice(list(files)[:-1] or ["m.index"]))
    target = "m.index"
    if rng.random() < 0.15:
        name = liar.pick("m", "../m", "/m", "", "x", "m\0", "\udcff", "m" * 300, "m.index", ".")
        line = f'model_checkpoint_path: "{name}"\n'.encode("utf-8", "surrogateescape")
        files["checkpoint"] = liar.pick(line, b"", line[:-2], b"a" * 70_000, b" \t" * 30_000, line * 2, b"\xff" + line)
        target = ""
    return Case(files, target, "bundle", None if liar.told else named)


def bundle_amounts(rng: random.Random) -> bytes:
    """An index of very many or very long keys, blocks, or restart points."""
    honest, count = Liar(rng, 0.0), rng.choice((1000, 16_000, 60_000))
    kind = rng.randrange(7)
    if kind == 5:
        return bytes(1 << 20) + table(honest, [(b"", field(honest, 1, 1))])
    if kind == 6:
        return table(honest, [(b"%08d" % i, b"") for i in range(1100)], 1)
    if kind == 0:
        records = b"".join(b"\0\4\0" + struct.pack(">I", i) for i in range(count))
        return raw_table(honest, records + struct.pack("<2I", 0, 1))
    if kind == 1:
        keys = (
            b"\0"
            + varint(2046)
            + b"\0"
            + b"a" * 2046
            + b"".join(varint(2044) + b"\2\0" + struct.pack(">H", i) for i in range(1, count))
        )
        return raw_table(honest, keys + struct.pack("<2I", 0, 1))
    if kind == 2:
        return raw_table(honest, struct.pack(f"<{count + 1}I", *range(count), count))
    if kind == 3:
        return raw_table(honest, b"\0\0\0" * count + struct.pack("<2I", 0, 1))
    entry_text = field(honest, 2, b"\x12\0" * 900) * 500
    return table(honest, [(b"", field(honest, 1, 1)), (b"x", entry_text)])


def raw_table(honest: Liar, content: bytes) -> bytes:
    """A table of one block that is given."""
    index = block(honest, [(b"k", varint(0) + varint(len(content)))])
    handles = varint(0) * 2 + varint(len(content) + 5) + varint(len(index))
    return sealed(honest, content) + sealed(honest, index) + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


@cache
def bundle_seeds() -> list[tuple[bytes, list[bytes]]]:
    """The index and the data of each bundle that TensorFlow wrote."""
    return [
        (path.read_bytes(), [data.read_bytes() for data in sorted(path.parent.glob("*.data-*"))])
        for path in sorted((FIXTURES / "tf1").rglob("*.index"))
    ]


def bundle_blind(rng: random.Random) -> Case:
    """A bundle of TensorFlow's with its records changed and right checksums, or with blind mutations."""
    index, data = rng.choice(bundle_seeds())
    liar = Liar(rng, rng.choice((0.0, 0.001, 0.01)))
    if rng.random() < 0.6:
        records = list(read_table("seed", index).items())
        if rng.random() < 0.15:
            records = [(key.replace(b"layer_1", b"layer_5"), value) for key, value in records]
        if rng.random() < 0.3:  # two sizes change places
            place = rng.randrange(len(records))
            records[place] = (
                records[place][0],
                re.sub(rb"(\x12\x02\x08.)(\x12\x02\x08.)", rb"\2\1", records[place][1], flags=re.DOTALL),
            )
        for _ in range(rng.choice((0, 1, 1, 3))):
            place = rng.randrange(len(records))
            key, value = records[place]
            change = rng.random()
            if change < 0.7:
                value = blind(rng, value, 1, records[0][1])
            elif change < 0.85:
                key = rng.choice((blind(rng, key, 1), rng.choice(records)[0], rng.choice(VARIABLES).encode()))
            else:
                value = rng.choice(records)[1]
            records[place] = (key[:3000], value)
        if rng.random() < 0.8:
            records.sort()
        index = table(liar, records)
    elif rng.random() < 0.8:
        index = blind(rng, index, 2, rng.choice(bundle_seeds())[0])
    else:
        place = rng.randrange(len(data))
        data = [blind(rng, content, 1) if i == place else content for i, content in enumerate(data)]
    liar.told += 1
    return bundle_case(rng, liar, index, data, None)
