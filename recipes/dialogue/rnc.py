"""Unpacks RNC ProPack, method 1: literal runs and back references, Huffman-coded by the chunk.

The format of many games of the nineties. A stream is an 18-byte header (signature, unpacked and
packed size, checksums, number of chunks) and 16-bit little-endian words, read from the lowest bit;
literal bytes lie between the words, where the reader is.
"""

from __future__ import annotations

from moss_audio.errors import MossAudioError

SIGNATURE = b"RNC\x01"
_HEADER = 18

_Table = tuple[list[tuple[int, int]], int]  # by the next bits: (symbol, length); and their mask


class _Bits:
    def __init__(self, data: bytes) -> None:
        self.data = data + bytes(8)  # the last word may be read past the end
        self.at, self.left, self.value = 0, 16, data[0] | data[1] << 8

    def take(self, count: int) -> int:
        taken = self.value & ((1 << count) - 1)
        self.value >>= count
        self.left -= count
        if self.left < 16:
            self.at += 2
            self._refill()
        return taken

    def literals(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        self.at += count
        self.left -= 16  # the word that was read ahead lies behind the literals
        self.value &= (1 << self.left) - 1
        self._refill()
        return taken

    def _refill(self) -> None:
        if self.at + 2 > len(self.data):
            raise IndexError
        self.value |= (self.data[self.at] | self.data[self.at + 1] << 8) << self.left
        self.left += 16

    def table(self) -> _Table:
        lengths = [self.take(4) for _ in range(self.take(5))]
        most = max(lengths, default=0)
        entries = [(-1, 0)] * (1 << most)
        code = 0
        for length in range(1, most + 1):
            for symbol, own in enumerate(lengths):
                if own == length:
                    first = int(f"{code:0{length}b}"[::-1], 2)
                    for index in range(first, 1 << most, 1 << length):
                        entries[index] = (symbol, length)
                    code += 1
            code <<= 1
        return entries, (1 << most) - 1

    def number(self, table: _Table) -> int:
        entries, mask = table
        symbol, length = entries[self.value & mask]
        if symbol < 0:
            raise IndexError
        self.take(length)
        return symbol if symbol < 2 else 1 << (symbol - 1) | self.take(symbol - 1)


def unpack(data: bytes) -> bytes:
    """The bytes that `data` was packed from. Raises MossAudioError for a broken stream."""
    if data[:4] != SIGNATURE or len(data) < _HEADER + 2:
        raise MossAudioError("not packed by RNC ProPack, method 1")
    size, chunks = int.from_bytes(data[4:8], "big"), data[17]
    out = bytearray()
    try:
        bits = _Bits(data[_HEADER:])
        bits.take(2)  # flags: locked, encrypted
        for _ in range(chunks):
            _unpack_chunk(bits, out)
    except IndexError:
        raise MossAudioError("the packed data end early or are broken") from None
    if len(out) != size:
        raise MossAudioError(f"{len(out)} bytes were unpacked, {size} were packed")
    return bytes(out)


def _unpack_chunk(bits: _Bits, out: bytearray) -> None:
    runs, distances, lengths = bits.table(), bits.table(), bits.table()
    for left in range(bits.take(16), 0, -1):
        if run := bits.number(runs):
            out += bits.literals(run)
        if left == 1:
            return
        distance, length = bits.number(distances) + 1, bits.number(lengths) + 2
        if distance > len(out):
            raise IndexError
        for _ in range(length):  # may overlap itself
            out.append(out[-distance])
