"""S3 behind a network and a server that fail: nothing lost, nothing half there, nothing left behind."""

from __future__ import annotations

import copy
import hashlib
import os
import re
import secrets
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("s3fs")
pytest.importorskip("moto")

from talkinghead.errors import NothingThere, StorageError
from talkinghead.storage.address import Address
from talkinghead.storage.s3 import S3Store
from talkinghead.storage.store import PARTIAL, open_store
from tests.storage.faulty_s3 import FAULTS, SETTINGS, FaultyS3, faulty_s3

PART = 4096
"""Size of the parts of uploads here; S3's own smallest is 5 MiB."""
PASSING = [fault for fault in FAULTS if fault != "slow"]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyS3]:
    with pytest.MonkeyPatch.context() as patch, faulty_s3() as server:
        patch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 256)
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        yield server


@dataclass
class Bucket:
    """A bucket as it really is, asked without the proxy."""

    name: str
    client: Any

    def objects(self, folder: Address) -> dict[str, bytes]:
        prefix = f"{folder.name}/"
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return {
            one["Key"].removeprefix(prefix): self.client.get_object(Bucket=self.name, Key=one["Key"])["Body"].read()
            for one in found
        }

    def uploads(self, folder: Address) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [one["Key"] for one in found if one["Key"].startswith(f"{folder.name}/")]

    def put(self, address: Address, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=address.text.split("/", 3)[3], Body=content)


@pytest.fixture(scope="module")
def bucket(server: FaultyS3) -> Bucket:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=server.direct_url,
        region_name="us-east-1",
        aws_access_key_id=SETTINGS["key"],
        aws_secret_access_key=SETTINGS["secret"],
    )
    client.create_bucket(Bucket="bucket")
    return Bucket("bucket", client)


@pytest.fixture(scope="module")
def stores(server: FaultyS3, bucket: Bucket) -> Callable[[], S3Store]:
    """Makes stores of new folders in the bucket, which share one connection."""
    store = open_store("s3://bucket", options=server.options(part_bytes=PART, tries=3))
    assert isinstance(store, S3Store)

    def new() -> S3Store:
        other = copy.copy(store)
        other.root = store.root.join(secrets.token_hex(8))
        return other

    return new


@pytest.fixture
def store(stores: Callable[[], S3Store], server: FaultyS3) -> Iterator[S3Store]:
    server.faults.seen.clear()
    yield stores()
    server.faults.row([])


def written(folder: Path, content: bytes) -> Path:
    path = folder / f"{hashlib.sha256(content).hexdigest()[:8]}.mp4"
    path.write_bytes(content)
    return path


SMALL, LARGE, OLD = b"small" * 100, os.urandom(5 * PART // 2), b"old"


def test_what_is_published_comes_back(store: S3Store, server: FaultyS3, bucket: Bucket, tmp_path: Path) -> None:
    for name, content in (("a b/ü?#%20.mp4", SMALL), ("x.mp4", LARGE), ("empty", b"")):
        there = store.root.join(name)
        store.publish(written(tmp_path, content), there, mark="key-1-worker")
        assert store.fetch(there, tmp_path / "back") == store.stat(there)
        assert (tmp_path / "back").read_bytes() == content
    assert bucket.objects(store.root) == {"a b/ü?#%20.mp4": SMALL, "x.mp4": LARGE, "empty": b""}
    assert sorted(address.name for address, _ in store.list(store.root)) == ["empty", "x.mp4"]
    assert sorted(address.relative_to(store.root) for address, _ in store.list(store.root, deep=True)) == sorted(
        bucket.objects(store.root)
    )
    assert sum("uploadId" in path and method == "PUT" for method, path, _ in server.faults.seen) == 3
    store.delete(there)
    assert store.stat(there) is None


def test_lists_of_several_pages(store: S3Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    for number in range(8):
        bucket.put(store.root.join(str(number)), b"x" * number)
    bucket.put(Address(f"{store.root}2/no"), b"x")
    bucket.put(Address(f"{store.root}/folder/"), b"")
    bucket.put(Address(f"{store.root}//odd"), b"x")
    found = {address.name: stat.size for address, stat in store.list(store.root)}
    assert found == {str(number): number for number in range(8)}


# What networks and servers do ----------------------------------------------------------------------------------------

ROWS = st.lists(st.sampled_from([None, *PASSING]), max_size=14)


def law_of_publishing(store: S3Store, server: FaultyS3, bucket: Bucket, source: Path, faults: list[str | None]) -> None:
    """What is published is there whole; or an error says that it may not be, and then it is there whole or the old one
    is. Nothing else is there once the unfinished is swept."""
    there, content = store.root.join("x.mp4"), source.read_bytes()
    bucket.put(there, OLD)
    server.faults.row(faults)
    try:
        store.publish(source, there, mark="k-1-w")
        allowed = [content]
    except StorageError as error:
        allowed = [OLD, content] if error.retryable else []
    assert bucket.objects(store.root)["x.mp4"] in allowed
    server.faults.row([])
    store.sweep(older_than_s=0)
    assert set(bucket.objects(store.root)) == {"x.mp4"}
    assert bucket.uploads(store.root) == []


MANY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=5, deadline=None, suppress_health_check=MANY, derandomize=True)
@given(faults=ROWS, content=st.sampled_from([SMALL, LARGE]))
def test_nothing_is_half_there(
    stores: Any, server: FaultyS3, bucket: Bucket, tmp_path: Path, faults: list[str | None], content: bytes
) -> None:
    law_of_publishing(stores(), server, bucket, written(tmp_path, content), faults)


@pytest.mark.thorough
@settings(max_examples=100, deadline=None, suppress_health_check=MANY)
@given(faults=ROWS, content=st.sampled_from([SMALL, LARGE]))
def test_nothing_is_half_there_in_many_cases(
    stores: Any, server: FaultyS3, bucket: Bucket, tmp_path: Path, faults: list[str | None], content: bytes
) -> None:
    law_of_publishing(stores(), server, bucket, written(tmp_path, content), faults)


def test_one_fault_of_each_kind_is_nothing(store: S3Store, server: FaultyS3, bucket: Bucket, tmp_path: Path) -> None:
    store.options = replace(store.options, tries=9)
    there = store.root.join("x.mp4")
    first = {
        "busy": r"POST .*\?uploads",
        "cut_upload": r"PUT .*partNumber=1",
        "late_error": r"PUT .*partNumber=2",
        "no_answer": r"POST .*\?uploadId",
        "broken": r"PUT .*/x\.mp4",
        "stale_stat": r"HEAD .*/partial/",
    }

    def plan(method: str, path: str) -> str | None:
        fault = next((fault for fault, what in first.items() if re.match(what, f"{method} {path}")), None)
        return first.pop(fault) and fault if fault else None

    server.faults.plan = plan
    store.publish(written(tmp_path, LARGE), there, mark="k-1-w")
    server.faults.row([None, "cut_download", "broken", "busy", None, "no_answer"])
    store.fetch(there, tmp_path / "back.mp4")
    assert (tmp_path / "back.mp4").read_bytes() == LARGE
    assert bucket.objects(store.root) == {"x.mp4": LARGE}
    assert bucket.uploads(store.root) == []
    assert {fault for *_, fault in server.faults.seen} == {None, *PASSING} - {"stale_list"}


@pytest.mark.thorough
@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["one piece", "parts"])
def test_every_request_may_fail(
    store: S3Store, server: FaultyS3, bucket: Bucket, tmp_path: Path, fault: str, content: bytes
) -> None:
    source, there = written(tmp_path, content), store.root.join("x.mp4")
    for number in range(100):
        server.faults.row([None] * number + [fault])
        server.faults.seen.clear()
        store.publish(source, there, mark=f"k-{number}-w")
        if fault != "stale_stat":
            store.fetch(there, tmp_path / "back.mp4")
            assert (tmp_path / "back.mp4").read_bytes() == content
        assert bucket.uploads(store.root) == []
        if number >= len(server.faults.seen):
            break
    assert number >= 6
    server.faults.row([])
    store.sweep(older_than_s=0)
    assert bucket.objects(store.root) == {"x.mp4": content}


def test_a_server_that_stays_down_is_given_up(store: S3Store, server: FaultyS3, tmp_path: Path) -> None:
    server.faults.plan = lambda method, path: "busy"
    target = tmp_path / "x"
    target.write_bytes(b"old")
    with pytest.raises(StorageError, match="Service Unavailable") as caught:
        store.fetch(store.root.join("x"), target)
    assert caught.value.retryable
    assert not isinstance(caught.value, NothingThere)
    assert len(server.faults.seen) == 3
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_an_answer_that_does_not_come_is_not_waited_for(
    store: S3Store, server: FaultyS3, bucket: Bucket, tmp_path: Path
) -> None:
    store.options = replace(store.options, timeout_s=0.2, slowest_bytes_per_s=1e6)
    server.faults.slow_s = 0.5
    server.faults.row(["slow"])
    store.publish(written(tmp_path, SMALL), store.root.join("x"), mark="m")
    assert bucket.objects(store.root)["x"] == SMALL


def test_what_will_not_pass_is_not_tried_again(store: S3Store, server: FaultyS3, tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="bucket does not exist"):
        store.publish(written(tmp_path, SMALL), Address.of("s3://no-such-bucket/x"), mark="m")
    assert [method for method, *_ in server.faults.seen] == ["PUT", "DELETE"]
    server.faults.seen.clear()
    with pytest.raises(NothingThere, match="There is no file"):
        store.fetch(store.root.join("absent"), tmp_path / "absent")
    assert [method for method, *_ in server.faults.seen] == ["HEAD"]


@pytest.mark.parametrize("fault", ["late_error", "no_answer"])
def test_who_was_first_is_known_though_the_answer_is_lost(
    store: S3Store, server: FaultyS3, bucket: Bucket, fault: str
) -> None:
    mine = store.root.join("owner")
    server.faults.row([fault])
    assert store.write_bytes(mine, b"me", exclusive=True)
    server.faults.row([fault])
    assert not store.write_bytes(mine, b"you", exclusive=True)
    assert bucket.objects(store.root) == {"owner": b"me"}


def test_a_server_that_keeps_no_first_is_found_out(store: S3Store, server: FaultyS3) -> None:
    server.faults.plan = lambda method, path: "forgetful"
    with pytest.raises(StorageError, match="If-None-Match"):
        store.write_bytes(store.root.join("owner"), b"me", exclusive=True)


def test_a_stale_list_hides_nothing_from_who_asks_by_name(store: S3Store, server: FaultyS3) -> None:
    there = store.root.join("x")
    store.write_bytes(there, b"1")
    server.faults.plan = lambda method, path: "stale_list"
    assert list(store.list(store.root)) == []
    assert store.stat(there) is not None
    assert store.read_bytes(there, 1) == b"1"


def test_uploads_of_a_process_that_died_are_swept(store: S3Store, bucket: Bucket) -> None:
    key = store.root.join(f"{PARTIAL}/k-1-w").text.split("/", 3)[3]
    bucket.client.create_multipart_upload(Bucket="bucket", Key=key)
    bucket.client.create_multipart_upload(Bucket="bucket", Key=f"{store.root.name}/of somebody else")
    assert store.sweep(older_than_s=0) == 1
    assert bucket.uploads(store.root) == [f"{store.root.name}/of somebody else"]


def test_what_changes_while_it_is_read_is_read_again(
    store: S3Store, server: FaultyS3, bucket: Bucket, tmp_path: Path
) -> None:
    there = store.root.join("x")
    bucket.put(there, b"one, which is longer")
    left = [b"two"]

    def plan(method: str, path: str) -> None:
        if method == "GET" and left:
            bucket.put(there, left.pop())

    server.faults.plan = plan
    assert store.fetch(there, tmp_path / "x") == store.stat(there)
    assert (tmp_path / "x").read_bytes() == b"two"


def test_keys_do_not_show_in_errors(store: S3Store, server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIK7MDENGb")
    options = replace(
        server.options(tries=1), settings={**server.options().settings, "endpoint_url": "http://127.0.0.1:9"}
    )
    signature = secrets.token_hex(8)
    with pytest.raises(StorageError) as caught:
        open_store("s3://bucket/x", options=options).stat(Address(f"s3://bucket/x?X-Amz-Signature={signature}"))
    shown = "".join(traceback.format_exception(caught.value)) + repr(options)
    assert caught.value.retryable
    for secret in ("wJalr", signature, SETTINGS["key"], SETTINGS["secret"]):
        assert secret not in shown
