"""Where networks run: pinned for every kind of network on every kind of processor."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from talkinghead.backends import DENSE, DEPTHWISE, PRODUCTS, Offer, Placement, candidates, placement
from talkinghead.backends.placement import installed, ranking
from talkinghead.backends.processor import KINDS, Processor, cpu_has_bfloat16, this_processor
from talkinghead.cores import available_cores
from talkinghead.errors import BackendError, MissingDependency, OptionError

AMX = Processor(frozenset({"avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16"}), openvino=frozenset({"float32", "bfloat16", "float16"}))  # fmt: skip # noqa: E501
"""Sapphire Rapids and later."""
AVX512_BF16 = Processor(frozenset({"avx512f", "avx512_bf16"}), openvino=frozenset({"float32", "bfloat16"}))
"""Zen 4, Cooper Lake."""
AVX512 = Processor(frozenset({"avx512f", "avx512_vnni"}), openvino=frozenset({"float32", "bfloat16"}))
"""Ice Lake: OpenVINO emulates bfloat16 there and says that it can."""
AVX2 = Processor(frozenset({"avx2", "fma"}), openvino=frozenset({"float32", "int8"}))
ARM_BF16 = Processor(frozenset({"asimd", "asimdhp", "bf16"}), openvino=frozenset({"float32", "float16"}))
"""Neoverse V1; OpenVINO has no bfloat16 for Arm."""
UNKNOWN = Processor(openvino=frozenset({"float32", "float16"}))
"""A system that does not tell its flags: macOS on Arm."""


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "installed", lambda backend: True)
    monkeypatch.setattr(placement, "_cuda_devices", lambda: 0)


def only(monkeypatch: pytest.MonkeyPatch, names: Collection[str]) -> None:
    monkeypatch.setattr(placement, "installed", lambda backend: backend in names)
    monkeypatch.setattr(placement, "_cuda_devices", lambda: 0)


def ways(offer: Offer, processor: Processor, precision: str = "auto", backend: str = "auto") -> list[str]:
    found = candidates(offer, "cpu", backend, precision, processor=processor)
    assert {place.device for place in found} == {"cpu"}
    return [f"{place.backend} {place.precision}" for place in found]


DENSE_32 = ["openvino float32", "onnx float32", "torch float32"]
DEPTHWISE_32 = ["onnx float32", "openvino float32", "torch float32"]


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("offer", "processor", "expected"),
    [
        (DENSE, AMX, ["openvino bfloat16", "torch bfloat16", *DENSE_32]),
        (DENSE, AVX512_BF16, ["openvino bfloat16", "torch bfloat16", *DENSE_32]),
        (DENSE, AVX512, DENSE_32),
        (DENSE, AVX2, DENSE_32),
        (DENSE, ARM_BF16, ["openvino float32", "torch bfloat16", "onnx float32", "torch float32"]),
        (DENSE, UNKNOWN, DENSE_32),
        (DEPTHWISE, AMX, ["openvino float16", "openvino bfloat16", *DEPTHWISE_32]),
        (DEPTHWISE, AVX512_BF16, ["openvino bfloat16", *DEPTHWISE_32]),
        (DEPTHWISE, AVX512, ["openvino bfloat16", *DEPTHWISE_32]),
        (DEPTHWISE, AVX2, DEPTHWISE_32),
        (DEPTHWISE, ARM_BF16, ["openvino float16", *DEPTHWISE_32]),
        (DEPTHWISE, UNKNOWN, ["openvino float16", *DEPTHWISE_32]),
        (PRODUCTS, AMX, ["torch bfloat16", "torch float32"]),
        (PRODUCTS, AVX512_BF16, ["torch bfloat16", "torch float32"]),
        (PRODUCTS, AVX512, ["torch float32"]),
        (PRODUCTS, AVX2, ["torch float32"]),
        (PRODUCTS, ARM_BF16, ["torch bfloat16", "torch float32"]),
        (PRODUCTS, UNKNOWN, ["torch float32"]),
    ],
)
def test_the_order_on_every_kind_of_processor(offer: Offer, processor: Processor, expected: list[str]) -> None:
    assert ways(offer, processor) == ways(offer, processor, "fast") == expected
    exact = [way for way in expected if way.endswith("float32")]
    assert sorted(ways(offer, processor, "parity")) == sorted(exact)
    assert ways(offer, processor, "parity") == [f"{backend} float32" for backend, _ in offer.exact]
    assert ways(offer, processor, "float32") == ways(offer, processor, "parity")


@pytest.mark.usefixtures("everything")
def test_formats_asked_for_by_name() -> None:
    assert ways(DENSE, AMX, "bfloat16") == ["openvino bfloat16", "torch bfloat16"]
    assert ways(DENSE, AVX2, "bfloat16") == ["torch bfloat16"]  # OpenVINO would compute in float32 without a word
    assert ways(DENSE, AVX2, "int8") == ["openvino int8", "onnx int8"]
    assert ways(DEPTHWISE, AMX, "float16") == ["openvino float16", "torch float16"]
    assert ways(DEPTHWISE, AVX512_BF16, "float16") == ["torch float16"]
    assert ways(DEPTHWISE, AMX, "bfloat16", "torch") == ["torch bfloat16"]
    assert ways(DEPTHWISE, AMX, "bfloat16", "openvino") == ["openvino bfloat16"]
    assert ways(PRODUCTS, AVX2, "bfloat16") == ["torch bfloat16"]


@pytest.mark.usefixtures("everything")
def test_a_runtime_asked_for_by_name() -> None:
    assert ways(DENSE, AMX, "auto", "onnx") == ["onnx float32"]
    assert ways(DENSE, AMX, "auto", "torch") == ["torch bfloat16", "torch float32"]
    assert ways(DEPTHWISE, AMX, "fast", "openvino") == ["openvino float16", "openvino bfloat16", "openvino float32"]
    assert ways(DEPTHWISE, AMX, "fast", "torch") == ["torch float32"]
    assert ways(DEPTHWISE, AMX, "parity", "openvino") == ["openvino float32"]


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("offer", "asked", "message"),
    [
        (DENSE, ("cpu", "tensorrt", "auto"), "no backend 'tensorrt'"),
        (DENSE, ("cpu", "auto", "int4"), "no precision 'int4'"),
        (DENSE, ("tpu", "auto", "auto"), "no device 'tpu'"),
        (DENSE, ("cpu", "auto", "float16"), "does not run float16"),
        (DENSE, ("cpu", "onnx", "bfloat16"), "does not run bfloat16"),
        (DENSE, ("cpu", "openvino", "bfloat16"), "does not compute in bfloat16"),
        (DENSE, ("cuda", "openvino", "auto"), "runs on the CPU"),
        (DEPTHWISE, ("cpu", "onnx", "float16"), "does not run float16"),
        (PRODUCTS, ("cpu", "onnx", "auto"), "no backend 'onnx'"),
        (PRODUCTS, ("cpu", "auto", "float16"), "no precision 'float16'"),
    ],
)
def test_what_does_not_exist_is_refused(offer: Offer, asked: tuple[str, str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        candidates(offer, *asked, processor=AVX2)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, ())
    with pytest.raises(MissingDependency, match="onnxruntime"):
        ways(DEPTHWISE, AMX)
    with pytest.raises(MissingDependency, match="torch"):
        ways(PRODUCTS, AMX)
    with pytest.raises(MissingDependency, match="openvino"):
        ways(DENSE, AMX, backend="openvino")
    only(monkeypatch, {"onnx"})
    assert ways(DENSE, AMX) == ways(DEPTHWISE, AMX) == ["onnx float32"]
    only(monkeypatch, {"torch"})
    first = candidates(DENSE, "cpu", processor=AMX)[0]
    assert (first.backend, first.precision) == ("torch", "bfloat16")
    assert "faster, but not installed: openvino" in first.why


def test_gpus_run_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_cuda_devices", lambda: 0)
    with pytest.raises(BackendError):
        candidates(DENSE, "cuda")
    monkeypatch.setattr(placement, "installed", lambda backend: True)
    monkeypatch.setattr(placement, "_cuda_devices", lambda: 2)

    def names(offer: Offer, device: str = "auto", precision: str = "auto") -> list[str]:
        return [place.name for place in candidates(offer, device, precision=precision)]

    assert names(DENSE) == names(DEPTHWISE) == ["torch float16 on cuda:0", "torch float32 on cuda:0"]
    assert names(DENSE, "cuda:1", "parity") == ["torch float32 on cuda:1"]
    assert names(DENSE, "cuda:1", "bfloat16") == ["torch bfloat16 on cuda:1"]
    assert names(PRODUCTS) == ["torch float32 on cuda:0"]
    with pytest.raises(OptionError, match="does not run bfloat16"):
        names(PRODUCTS, "cuda", "bfloat16")
    with pytest.raises(OptionError, match="does not run int8"):
        names(DENSE, "cuda", "int8")
    assert candidates(DENSE, "auto", "onnx")[0].device == "cpu"  # the other runtimes are used for CPUs


@pytest.mark.usefixtures("everything")
def test_every_way_has_a_reason() -> None:
    for offer in (DENSE, DEPTHWISE, PRODUCTS):
        for processor in (AMX, AVX512_BF16, AVX2, ARM_BF16):
            for place in candidates(offer, "cpu", processor=processor):
                assert place.backend in place.why
                assert place.precision in place.why
                assert place.why.endswith(".")
    assert "no bfloat16 arithmetic" in candidates(DENSE, "cpu", processor=AVX2)[0].why
    assert "measured" in candidates(DENSE, "cpu", processor=AMX)[0].why


def test_what_reports_say() -> None:
    place = Placement("cpu", "openvino", "bfloat16", "because.")
    run = place.run("generator", psnr_db=51.234)
    assert (run.name, run.backend, run.device, run.precision) == ("generator", "openvino", "cpu", "bfloat16")
    assert (run.why, run.psnr_db) == ("because.", 51.2)
    assert place.run("generator").psnr_db is None
    assert place.run("generator", psnr_db=float("inf")).psnr_db == placement.HIGHEST_PSNR_DB


def test_on_this_machine() -> None:
    expected = "bfloat16" if cpu_has_bfloat16() else "float32"
    if installed("torch"):
        assert Placement.choose("cpu", "torch").precision == expected
    assert this_processor().kind in KINDS
    assert available_cores() >= 1


@pytest.mark.usefixtures("everything")
def test_the_ranking_that_doctor_shows() -> None:
    rows = {(row.network, row.precision): row for row in ranking(AMX)}
    assert rows[DENSE.title, "fast"].ways[0] == "openvino bfloat16"
    assert rows[DENSE.title, "parity"].ways == tuple(DENSE_32)
    assert "measured" in rows[DENSE.title, "fast"].why
    assert "not measured" in next(row.why for row in ranking(ARM_BF16) if row.precision == "fast")
    plain = [row for row in ranking(AVX2) if row.precision == "fast"]
    assert all("nothing to gain" in row.why for row in plain)
    assert len(rows) == 6


def test_kinds() -> None:
    kinds = [processor.kind for processor in (AMX, AVX512_BF16, AVX512, AVX2, ARM_BF16, UNKNOWN)]
    assert kinds == ["amx", "avx512-bf16", "plain", "plain", "arm-bf16", "plain"]
    assert AMX.features == ("avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16")
    assert AMX.has_bfloat16
    assert not AVX512.has_bfloat16
