"""Fill a folder of S3 from a table that lies there too, behind a network that fails, with workers and drivers killed.

    python -m tests.fleet.prove_storage --rows 60 --faults 0.08 --kills 8

Everything runs on this machine: moto's S3 server, a proxy that spoils a share of the requests (5xx, answers that are
lost or cut, uploads that end in the middle, late lists), `talkinghead batch` with two workers. At the end each video is
there once, is the same as one that was made without any of it, and nothing else is left. Needs the extras `dev` and
`fleet`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2

from talkinghead.assets.portrait import astronaut
from tests.conftest import ROOT
from tests.storage.faulty_s3 import FAULTS, SETTINGS, FaultyS3, faulty_s3
from tests.synthetic_media import make_sound

BUCKET = "course"
SPOILED = tuple(fault for fault in FAULTS if fault not in ("stale_stat", "slow"))
"""Not `stale_stat`: in every storage that is meant here, what was written is seen at once by who asks for its name."""
FACES, SOUNDS = 3, 5
PAUSE_S = 4.0
"""Between two kills."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--faults", type=float, default=0.08, help="share of requests that are spoiled")
    parser.add_argument("--kills", type=int, default=8, help="workers that are killed")
    parser.add_argument("--stops", type=int, default=2, choices=(0, 1, 2), help="drivers that are stopped; 2nd: killed")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(prove(parser.parse_args()), indent=1))


def prove(given: argparse.Namespace) -> dict[str, Any]:
    """All of it; gives the figures.

    Raises:
        SystemExit: something is lost, doubled or left over.
    """
    with tempfile.TemporaryDirectory() as folder, faulty_s3() as server:
        proof = Proof(server, Path(folder), given)
        proof.prepare()
        plain_s = proof.run_plainly()
        spoiled_s = proof.run_spoiled()
        return {**proof.check(), "plain_s": round(plain_s, 1), "spoiled_s": round(spoiled_s, 1)}


class Proof:
    """A table, its bucket, and what is done to them."""

    def __init__(self, server: FaultyS3, folder: Path, given: argparse.Namespace) -> None:
        import boto3

        self.server, self.folder, self.given = server, folder, given
        self.random = random.Random(given.seed)
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=server.direct_url,
            region_name="us-east-1",
            aws_access_key_id=SETTINGS["key"],
            aws_secret_access_key=SETTINGS["secret"],
        )
        self.killed: Counter[str] = Counter()
        self.plain_requests = 0
        self.environment = {
            **os.environ,
            "SOURCE_DATE_EPOCH": "1785628800",  # files are compared by their bytes, and say when they were made
            "AWS_ACCESS_KEY_ID": SETTINGS["key"],
            "AWS_SECRET_ACCESS_KEY": SETTINGS["secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": server.url,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }

    def prepare(self) -> None:
        """Put faces, sounds and the table into the bucket."""
        self.client.create_bucket(Bucket=BUCKET)
        for number in range(FACES):
            self._put(f"faces/{number}.png", face(number))
        for number in range(SOUNDS):
            self._put(
                f"sounds/{number}.wav", make_sound(self.folder / f"{number}.wav", 0.4 + 0.2 * number).read_bytes()
            )
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(["face", "audio", "output"])
        for row in range(self.given.rows):
            face_, sound = f"s3://{BUCKET}/faces/{row % FACES}.png", f"s3://{BUCKET}/sounds/{row % SOUNDS}.wav"
            table.writerow([face_, sound, f"{row:05d}.mp4"])
        self._put("jobs.csv", text.getvalue().encode("utf-8"))

    def run_plainly(self) -> float:
        """Each row once, with nothing spoiled and nobody killed."""
        began = time.monotonic()
        process = self._start("plain")
        if process.wait() != 0:
            raise SystemExit("the run without faults failed")
        self.plain_requests = len(self.server.faults.seen)
        return time.monotonic() - began

    def run_spoiled(self) -> float:
        """The same with all of it, by as many commands as it takes."""
        began, guard = time.monotonic(), threading.Lock()

        def plan(method: str, path: str) -> str | None:
            with guard:
                return self.random.choice(SPOILED) if self.random.random() < self.given.faults else None

        self.server.faults.seen.clear()
        self.server.faults.plan = plan
        stops = [signal.SIGTERM, signal.SIGKILL][: self.given.stops]
        while True:
            process = self._start("spoiled")
            while process.poll() is None:
                if self._sleeps(process):
                    break
                if self.killed["workers"] < self.given.kills:
                    self._kill_a_worker(process.pid)
                elif stops:
                    sign = stops.pop(0)
                    process.send_signal(sign)
                    self.killed[sign.name] += 1
            if process.wait() == 0:
                break
            time.sleep(PAUSE_S)  # whoever was killed has the folder for a while
        self.server.faults.plan = lambda method, path: None
        return time.monotonic() - began

    def check(self) -> dict[str, Any]:
        """Compare the two folders.

        Raises:
            SystemExit: they differ, or something else is left.
        """
        plain, spoiled = self._videos("plain"), self._videos("spoiled")
        left = [key for key in self._keys("spoiled") if "/partial/" in key]
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        entries = [json.loads(line) for line in self._ledger("spoiled")]
        done = Counter(entry["key"] for entry in entries if entry["event"] in ("done", "resumed"))
        faults = Counter(fault for *_, fault in self.server.faults.seen)
        facts = {
            "rows": self.given.rows,
            "videos": len(spoiled),
            "same_as_plain": sum(spoiled.get(name) == sha256 for name, sha256 in plain.items()),
            "completed_once": sum(count == 1 for count in done.values()),
            "left_over": len(left) + len(uploads) + len(list((self.folder / "scratch").iterdir())),
            "plain_requests": self.plain_requests,
            "requests": len(self.server.faults.seen),
            "spoiled": {str(fault): count for fault, count in faults.items() if fault},
            "killed": dict(self.killed),
            "attempts": sum(entry["event"] == "given" for entry in entries),
        }
        whole = facts["rows"] == facts["videos"] == facts["same_as_plain"] == facts["completed_once"]
        if not whole or facts["left_over"]:
            raise SystemExit(json.dumps(facts, indent=1))
        return facts

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        words = [f"s3://{BUCKET}/jobs.csv", "-o", f"s3://{BUCKET}/{name}", "--workers", str(self.given.workers)]
        words += ["--scratch", str(self.folder / "scratch"), "--quiet"]
        return subprocess.Popen([sys.executable, "-m", "talkinghead", "batch", *words], env=self.environment)

    def _sleeps(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for the next kill; True if the command ended meanwhile."""
        try:
            process.wait(PAUSE_S * self.random.uniform(0.5, 1.5))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill_a_worker(self, driver: int) -> None:
        children = Path(f"/proc/{driver}/task/{driver}/children").read_text(encoding="ascii").split()
        if children:
            os.kill(int(self.random.choice(children)), signal.SIGKILL)
            self.killed["workers"] += 1

    def _put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def _get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def _keys(self, folder: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{folder}/")
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def _videos(self, folder: str) -> dict[str, str]:
        keys = [key for key in self._keys(folder) if key.endswith(".mp4")]
        return {key.rpartition("/")[2]: hashlib.sha256(self._get(key)).hexdigest() for key in keys}

    def _ledger(self, folder: str) -> list[bytes]:
        keys = [key for key in self._keys(folder) if "/ledger/" in key]
        return [line for key in keys for line in self._get(key).splitlines()]


def face(number: int) -> bytes:
    """A picture of a face; the margin below it differs."""
    picture = cv2.copyMakeBorder(astronaut()[:232, 96:344], 0, 8 * number, 0, 0, cv2.BORDER_REPLICATE)
    return bytes(cv2.imencode(".png", picture[..., ::-1])[1])


if __name__ == "__main__":
    main()
