"""S3 and what speaks like it: uploads in parts that are never left behind, and lists of any length."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from talkinghead.errors import NothingThere, StorageError
from talkinghead.storage.address import Address
from talkinghead.storage.base import PARTIAL, Stat, StoreOptions
from talkinghead.storage.objects import ObjectStore, below, stat_of

_CONNECT_S = 10.0


class S3Store(ObjectStore):
    """A bucket of S3, or a part of it."""

    def __init__(
        self, root: Address, options: StoreOptions | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(root, options, sleep=sleep)
        self._fs.retries = 1  # it is `Store` that tries again

    def _settings(self) -> dict[str, Any]:
        import fsspec

        settings = super()._settings()
        known = {**fsspec.config.conf.get("s3", {}), **settings}
        settings["config_kwargs"] = {
            "connect_timeout": min(_CONNECT_S, self.options.timeout_s),
            "read_timeout": self.options.timeout_s,
            "retries": {"total_max_attempts": 1},
            **known.get("config_kwargs", {}),
        }
        return settings

    def _stat(self, address: Address) -> Stat | None:
        key = _key_of(address)
        try:
            found = self._s3(address, "head_object", Key=key) if key else None
        except NothingThere:
            return None
        return stat_of({**found, "size": found["ContentLength"]}) if found is not None else None

    def upload(self, source: Path, address: Address, size: int) -> None:
        key, part = self._key(address), self.options.part_bytes
        part = max(part, -(-size // 10_000))  # S3 takes so many parts
        try:
            self._call(address, "write", "put_file", str(source), key, size=size, chunksize=part)
            self._check(address, size)
        except StorageError as error:
            if size >= 2 * part:
                with contextlib.suppress(StorageError):  # else it is for `sweep`
                    self._abort_uploads(address)
                if "upload does not exist" in error.what:  # it was completed, or aborted, and the answer got lost
                    error.retryable = True
            raise

    def sweep(self, *, older_than_s: float = 24 * 3600.0) -> int:
        return super().sweep(older_than_s=older_than_s) + self._abort_uploads(
            self.root.join(PARTIAL), older_than_s=older_than_s
        )

    def _abort_uploads(self, address: Address, *, older_than_s: float = 0.0) -> int:
        """Give up uploads in parts to an address or below it; they cost as much as files do, and nobody sees them."""
        count, now = 0, datetime.now(UTC)
        for upload in self._pages(address, "list_multipart_uploads", "Uploads", _NEXT_UPLOADS):
            old = (now - upload["Initiated"]).total_seconds() >= older_than_s
            if old and f"{upload['Key']}/".startswith(f"{_key_of(address)}/"):
                self._abort(address, upload["Key"], upload["UploadId"])
                count += 1
        return count

    def _abort(self, address: Address, key: str, upload: str) -> None:
        with contextlib.suppress(NothingThere):
            self._retried(lambda: self._s3(address, "abort_multipart_upload", Key=key, UploadId=upload))

    def _infos(self, folder: Address, *, deep: bool) -> Iterator[tuple[Address, Mapping[str, Any]]]:
        prefix = _key_of(folder)
        depth = {} if deep else {"Delimiter": "/"}
        listed = f"{prefix}/" if prefix else ""
        for found in self._pages(folder, "list_objects_v2", "Contents", _NEXT_OBJECTS, Prefix=listed, **depth):
            address = below(folder, f"/{found['Key'].removeprefix(listed)}")
            if address is not None:
                yield address, {**found, "size": found["Size"]}

    def _pages(
        self, address: Address, method: str, items: str, following: Mapping[str, str], **given: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Entries of a list that S3 gives in pages; one page is held at a time."""
        given = {"Prefix": _key_of(address), **given}
        while True:
            try:
                page = self._retried(lambda: self._s3(address, method, **given))
            except NothingThere:
                return
            yield from page.get(items, ())
            if not page.get("IsTruncated"):
                return
            given.update({asked: page[told] for told, asked in following.items()})

    def _s3(self, address: Address, method: str, /, **given: Any) -> Any:
        bucket = address.text.partition("://")[2].partition("/")[0]
        return self._call(address, "read", "call_s3", method, Bucket=bucket, **given)


_NEXT_OBJECTS = {"NextContinuationToken": "ContinuationToken"}
_NEXT_UPLOADS = {"NextKeyMarker": "KeyMarker", "NextUploadIdMarker": "UploadIdMarker"}


def _key_of(address: Address) -> str:
    """The key of an object, without its bucket."""
    return address.text.partition("://")[2].partition("/")[2]
