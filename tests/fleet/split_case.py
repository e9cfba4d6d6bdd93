"""A long video in stretches on workers that are killed, one in the middle of a stretch and one in that of the join.

    python -m tests.fleet.split_case FOLDER pool|ray folder|s3|ADDRESS

It is there once, and its frames and its sound are those of one process.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from talkinghead.assets.portrait import astronaut_close
from talkinghead.contracts import AudioClip
from talkinghead.files import cache_key
from talkinghead.fleet.drive import drive
from talkinghead.fleet.engines.base import Engine
from talkinghead.fleet.engines.pool import Pool
from talkinghead.fleet.job import Job
from talkinghead.fleet.ledger import COMPLETED, Entry, read_entries
from talkinghead.fleet.opening import open_ledger
from talkinghead.fleet.schedule import TimeLimits
from talkinghead.fleet.splitting import PARTS, split
from talkinghead.fleet.worker import WorkerOptions
from talkinghead.media import open_frames, read_audio, write_wav
from talkinghead.service.request import Request
from talkinghead.service.run import run
from talkinghead.storage.address import Address
from talkinghead.storage.base import PARTIAL
from talkinghead.storage.store import Store
from tests.conftest import ROOT
from tests.storage.faulty_s3 import SETTINGS
from tests.synthetic_media import speech_like

SECONDS, STRETCH_S = 4.4, 1.5


@contextmanager
def s3() -> Iterator[str]:
    """A folder in a bucket of a server on this machine, which this process and those that it starts reach."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.pop("AWS_PROFILE", None)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": SETTINGS["key"],
        "AWS_SECRET_ACCESS_KEY": SETTINGS["secret"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        boto3.client("s3").create_bucket(Bucket="course")
        yield "s3://course/out"
    finally:
        server.stop()


def engine_of(kind: str, options: WorkerOptions, inherited: Any) -> Engine:
    if kind == "pool":
        return Pool(options, inherited=inherited, program=(sys.executable, "-m", "tests.fleet.dying"))
    from talkinghead.fleet.engines.cluster import ClusterOptions, RayEngine

    return RayEngine(options, ClusterOptions(workers=2), worker="tests.fleet.dying:open_dying")


def main(kind: str, where: str, folder: Path) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    face = cv2.resize(astronaut_close(), (96, 96), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "face.png"), np.ascontiguousarray(face[..., ::-1]))
    write_wav(folder / "said.wav", AudioClip(speech_like(SECONDS), 16_000))
    row = {
        "source": str(folder / "face.png"),
        "speech": {"path": str(folder / "said.wav")},
        "output": "long.mkv",
        "model": "viseme",
        "render": {"encode": {"codec": "h264", "crf": 0, "audio_codec": "flac"}},
    }
    (folder / "cache").mkdir()
    alone = run(Request.from_dict({**row, "output": str(folder / "alone.mkv")}))
    place = where if "://" in where else str(folder / "out")
    with s3() if where == "s3" else nullcontext(place) as out:
        check(kind, folder, out, row, alone.path)


def check(kind: str, folder: Path, place: str, row: dict[str, Any], alone: Path) -> None:
    out = Address.of(place)
    job = Job(cache_key("test", row=row), 1, row, str(out.join("long.mkv")), "viseme", "face", SECONDS)
    with open_ledger(out) as ledger:
        store = ledger.store
        cut = split(ledger.plan([job]).todo, STRETCH_S, out, ledger.history, store)
        assert cut.parts == 3
        options = ledger.worker_options(scratch=str(folder / "scratch"), cache=str(folder / "cache"), threads=1)
        engine = engine_of(kind, options, ledger.lease.inherited)
        limits = TimeLimits(pause_s=0.0, elsewhere_s=0.0)
        summary = drive(cut.jobs, engine, ledger, 2, limits=limits, tries=1)
    assert (summary.done, summary.failed, summary.lost) == (1, 0, 2)
    said = list(read_entries(store, out))
    lost = Counter(bool(part_of(entry, job)) for entry in said if entry.event == "lost")
    assert lost == {True: 1, False: 1}, "one with a stretch, one with the join"
    completed = Counter(entry.key for entry in said if entry.event in COMPLETED)
    assert set(completed.values()) == {1}
    assert len(completed) == 4
    left = [address.text for address, _ in store.list(out, deep=True)]
    assert [name for name in left if name.endswith(".mkv")] == [job.output]
    assert not [name for name in left if PARTS in name or PARTIAL in name]
    compare(store, job, folder / "made.mkv", alone)


def part_of(entry: Entry, job: Job) -> bool:
    return entry.key != job.key


def compare(store: Store, job: Job, made: Path, alone: Path) -> None:
    """Frames and sound are those of one process."""
    store.fetch(Address.of(job.output), made)
    one, other = (list(open_frames(path).read()) for path in (alone, made))
    assert len(one) == round(SECONDS * 25)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(read_audio(alone).samples, read_audio(made).samples)


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3], Path(sys.argv[1]))
