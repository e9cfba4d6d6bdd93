"""The smallest TensorFlow Lite file that OpenCV reads and runs: one layer that clips at zero."""

from __future__ import annotations

from typing import Any

FLOAT32, RELU = 0, 19


def tflite_file(*shape: int) -> bytes:
    """A network of one input and one output of a shape."""
    import flatbuffers

    build = flatbuffers.Builder(1024)

    def numbers(values: tuple[int, ...]) -> int:
        build.StartVector(4, len(values), 4)
        for value in reversed(values):
            build.PrependInt32(value)
        return int(build.EndVector())

    def tables(offsets: list[int]) -> int:
        build.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            build.PrependUOffsetTRelative(offset)
        return int(build.EndVector())

    def table(fields: int, *slots: tuple[str, int, Any]) -> int:
        build.StartObject(fields)
        for kind, slot, value in slots:
            getattr(build, f"Prepend{kind}Slot")(slot, value, 0)
        return int(build.EndObject())

    tensors = []
    for name in ("input", "output"):
        parts = numbers(shape), build.CreateString(name)
        fields = (("UOffsetTRelative", 0, parts[0]), ("Uint32", 2, 0), ("UOffsetTRelative", 3, parts[1]))
        tensors.append(table(4, *fields))
    ends = numbers((0,)), numbers((1,))
    layer = table(9, ("UOffsetTRelative", 1, ends[0]), ("UOffsetTRelative", 2, ends[1]))
    vectors = tables(tensors), numbers((0,)), numbers((1,)), tables([layer])
    graph = table(5, *(("UOffsetTRelative", slot, vector) for slot, vector in enumerate(vectors)))
    code = table(4, ("Int8", 0, RELU), ("Int32", 2, 1), ("Int32", 3, RELU))
    codes, graphs, buffers = tables([code]), tables([graph]), tables([table(1)])
    model = (("Uint32", 0, 3), ("UOffsetTRelative", 1, codes), ("UOffsetTRelative", 2, graphs))
    build.Finish(table(5, *model, ("UOffsetTRelative", 4, buffers)), file_identifier=b"TFL3")
    return bytes(build.Output())
