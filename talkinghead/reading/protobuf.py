"""Protocol buffers, field by field: what ONNX and TensorFlow files are made of. Nothing is copied or set aside."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""
_SIZES = {FIXED64: 8, FIXED32: 4}
_WIDEST = (1 << 64) - 1


def varint(data: memoryview, place: int) -> tuple[int, int]:
    """(number, place behind it).

    Raises:
        ValueError: more than 64 bits. IndexError: cut short.
    """
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > _WIDEST:
                raise ValueError("a number of more than 64 bits")
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


class Walker:
    """Goes through messages, and through no more fields than it was told.

    Args:
        max_fields: of all messages together.
    """

    def __init__(self, max_fields: int) -> None:
        self._most = self._left = max_fields

    def fields(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """(field number, value) of a message: numbers, or views of length-delimited and fixed values.

        Raises:
            ValueError, IndexError: not such a message, cut short, or more fields than allowed.
        """
        place = 0
        while place < len(data):
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it holds more than {self._most} fields")
            key, place = varint(data, place)
            kind = key & 7
            value: int | memoryview
            if kind == VARINT:
                value, place = varint(data, place)
            else:
                size = _SIZES.get(kind)
                if kind == BYTES:
                    size, place = varint(data, place)
                if size is None:
                    raise ValueError(f"wire type {kind}")
                if place + size > len(data):
                    raise ValueError("cut short")
                value = data[place : place + size]
                place += size
            yield key >> 3, value

    def messages(self, data: memoryview, number: int) -> Iterator[memoryview]:
        """The length-delimited values of one field."""
        for field, value in self.fields(data):
            if field == number and isinstance(value, memoryview):
                yield value
