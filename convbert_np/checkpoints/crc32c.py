"""CRC-32C, the checksum of TensorFlow's files, at the speed of NumPy.

The register c of 32 bits takes in a word w of four bytes, little-endian, by c -> Z(c xor w), where Z feeds 32 zero bits. Z is
linear over GF(2). So the words may be laid out in rows of a width w, a power of two, and all columns
at once be taken in by s -> Z^w(s) xor row; the columns are then folded, the left half onto the right, until one is left.
The same holds for every power of Z, which is a table of 4 x 256 words: one for each byte of the register.

A register that starts at zero is not moved by zeros. Zeros may stand before the data, therefore, and what the standard
starts with, all ones, is what four certain bytes make of zero.

Source: RFC 3720, appendix B.4; the mask is that of the LevelDB table format.
"""

from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # Castagnoli's, the lowest bit first
START = bytes.fromhex("54641f64")  # takes a register of zeros to one of ones
MOST_HALVINGS = 12
MASK_DELTA = 0xA282EAD8


def crc32c(data: np.ndarray | bytes | memoryview) -> int:
    """The CRC-32C of bytes, given as such or as an array of uint8 of one axis."""
    values = np.frombuffer(data, np.uint8) if isinstance(data, bytes | memoryview) else data
    halvings = min(MOST_HALVINGS, (values.size // 4).bit_length())
    width = 4 << halvings  # of a row, in bytes
    first = values.size % width
    start = np.zeros(2 * width, np.uint8)
    end = start.size - first
    start[end - len(START) : end] = np.frombuffer(START, np.uint8)
    start[end:] = values[:first]
    state = advance(start[:width].view("<u4"), halvings) ^ start[width:].view("<u4")
    for place in range(first, values.size, width):
        state = advance(state, halvings) ^ values[place : place + width].view("<u4")
    for halving in reversed(range(halvings)):
        left, right = np.split(state, 2)
        state = advance(left, halving) ^ right
    return int(advance(state, 0)[0]) ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A checksum as TensorFlow stores it: rotated and shifted, so that a checksum of data with checksums stays good."""
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def advance(registers: np.ndarray, power: int) -> np.ndarray:
    """Z, 2^power times, of an array of registers (uint32, little-endian)."""
    tables, parts = zero_words(power), registers.view(np.uint8)
    result = tables[0][parts[0::4]]
    for byte in (1, 2, 3):
        result ^= tables[byte][parts[byte::4]]
    return result


@cache
def zero_words(power: int) -> np.ndarray:
    """Z, 2^power times, as a table (4, 256): row b, column v is what becomes of the register v << 8b."""
    registers = (np.arange(256, dtype="<u4") << np.arange(0, 32, 8, dtype="<u4")[:, None]).reshape(-1)
    if power:
        half = advance(registers, power - 1)
        return advance(half, power - 1).reshape(4, 256)
    for _ in range(32):
        registers = registers >> 1 ^ np.where(registers & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return registers.reshape(4, 256)
