"""How large the pictures of an AV1 stream are, by the stream itself: containers can say what they like.

Source: AV1 Bitstream & Decoding Process Specification, sections 5.3 (OBU headers) and 5.5 (sequence header).
"""

from __future__ import annotations

from collections.abc import Iterator

_SEQUENCE_HEADER = 1


class _Bits:
    """Bits, the highest of each byte first; past the end they are zeros."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            return 0
        return self._value >> self._left & (1 << count) - 1

    def skip_uvlc(self) -> None:
        zeros = 0
        while zeros < 32 and self._left > 0 and not self.take(1):
            zeros += 1
        self.take(zeros)


def frame_sizes(stream: bytes) -> Iterator[tuple[int, int]]:
    """(width, height) that each sequence header of a stream allows."""
    for kind, start, stop in _units(stream):
        if kind == _SEQUENCE_HEADER:
            yield _sequence_size(stream[start : min(stop, start + 256)])


def _units(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """(type, start, stop) of the open bitstream units."""
    at = 0
    while at < len(stream):
        header = stream[at]
        at += 2 if header & 4 else 1
        size, shift = 0, 0
        if header & 2:
            while at < len(stream) and shift < 56:
                byte = stream[at]
                at += 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
        else:
            size = len(stream) - at
        yield header >> 3 & 15, at, min(at + size, len(stream))
        at += size


def _sequence_size(data: bytes) -> tuple[int, int]:
    bits = _Bits(data)
    bits.take(4)  # profile, still picture
    if bits.take(1):  # reduced header of a still picture
        bits.take(5)
    else:
        _skip_operating_points(bits)
    wide, high = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(wide) + 1, bits.take(high) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.skip_uvlc()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(32 + 5 + 5)
    delays = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if delays and bits.take(1):
            bits.take(4)
