"""Many clients at once, with bad manners: does the HTTP service do what it promised, and does it stay small?

    python scripts/load_service.py --face me.jpg --audio hello.wav --count 200 --clients 20 --rounds 3
    python scripts/load_service.py --face me.jpg --audio hello.wav --url http://localhost:8962 --json figures.json

Each client does one thing after the other, by chance: it orders a video and fetches it, orders the same twice at the
same time with one Idempotency-Key, watches it while it is made, cancels it, leaves in the middle of an upload, of
events or of a stream, or sends what cannot be used. Of every order that was accepted it is then asked what came of it:
made, with all its frames, or removed as its client wished. Without --url the service is started by this program, and
what its process holds is measured after each round.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from talkinghead.media import probe

ENDED = ("completed", "failed", "cancelled")
PATIENCE_S = 600.0
MANNERS = {"fetch": 9, "twice": 2, "stream": 2, "cancel": 2, "leave-upload": 1, "leave-events": 1, "leave-stream": 1,
           "bad": 3}  # fmt: skip
"""How often clients do what."""


@dataclass
class Tally:
    """What happened."""

    done: Counter[str] = field(default_factory=Counter)
    """What clients did."""
    answers: Counter[int] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    """Videos that were ordered and whose fate is still to be looked at."""
    made: int = 0
    removed: int = 0
    faults: list[str] = field(default_factory=list)
    """Promises that were not kept."""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Held:
    """What the process of the service holds."""

    megabytes: float
    threads: int
    handles: int


@dataclass(frozen=True)
class Figures:
    """What was found."""

    requests: int
    clients: int
    seconds: float
    did: dict[str, int]
    answers: dict[int, int]
    made: int
    removed: int
    faults: list[str]
    held: list[Held]
    """After a first video, and after each round, when nothing is under way."""


class Client:
    """One client; how long it waits and what bad input it sends is chosen by chance."""

    def __init__(self, where: dict[str, Any], files: dict[str, Path], fields: dict[str, str], frames: int, seed: int):
        self.http = httpx.Client(timeout=PATIENCE_S, **where)
        self.files = {name: (path.name, path.read_bytes()) for name, path in files.items()}
        self.fields, self.frames, self.random = fields, frames, random.Random(seed)

    def once(self, name: str, tally: Tally) -> None:
        """Do one of `MANNERS`."""
        with tally.lock:
            tally.done[name] += 1
        try:
            getattr(self, name.replace("-", "_"))(tally)
        except Exception as error:  # noqa: BLE001 (it is reported)
            with tally.lock:
                tally.faults.append(f"{name}: {type(error).__name__}: {error}")

    def order(self, tally: Tally, address: str = "/v1/videos", key: str | None = None) -> str:
        """Order a video, however long that takes; its id."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            answer = self.http.post(
                address, files=self.files, data=self.fields, headers={"Idempotency-Key": key or str(uuid.uuid4())}
            )
            with tally.lock:
                tally.answers[answer.status_code] += 1
            if answer.status_code == 202:
                found = str(answer.json()["id"])
                with tally.lock:
                    tally.accepted.add(found)
                return found
            check(answer.status_code in (409, 429), f"an order was answered with {answer.status_code}: {answer.text}")
            check("retry-after" in answer.headers, "there is no Retry-After")
            time.sleep(min(2.0, float(answer.headers["retry-after"])) * self.random.uniform(0.5, 1))
        raise TimeoutError("there was no room")

    def wait(self, video: str) -> dict[str, Any]:
        """Wait for its end by events."""
        with self.http.stream("GET", f"/v1/videos/{video}/events") as events:
            lines = [line[6:] for line in events.iter_lines() if line.startswith("data: ")]
        return dict(json.loads(lines[-1]))

    def fetch(self, tally: Tally) -> None:
        """Order, wait, fetch, and sometimes remove."""
        video = self.order(tally)
        state = self.wait(video)
        check(state["status"] == "completed", f"a video is {state['status']}: {state['error']}")
        content = self.http.get(f"/v1/videos/{video}/content").content
        check(frames_of(content) == self.frames, f"a video has {frames_of(content)} frames, not {self.frames}")
        if self.random.random() < 0.5:
            self.remove(tally, video)

    def twice(self, tally: Tally) -> None:
        """The same order at the same time, with one key."""
        key, found = str(uuid.uuid4()), []

        def order() -> None:
            found.append(self.order(tally, key=key))

        threads = [threading.Thread(target=order) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(len(found) == 2 and len({*found}) == 1, f"one key stands for {found}")

    def stream(self, tally: Tally) -> None:
        """Watch it while it is made."""
        self._streamed(tally, leave=False)

    def leave_stream(self, tally: Tally) -> None:
        """Watch its beginning."""
        self._streamed(tally, leave=True)

    def _streamed(self, tally: Tally, *, leave: bool) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            with self.http.stream("POST", "/v1/videos?stream=true", files=self.files, data=self.fields) as answer:
                with tally.lock:
                    tally.answers[answer.status_code] += 1
                if answer.status_code == 200:
                    with tally.lock:
                        tally.accepted.add(answer.headers["x-video-id"])
                    parts = answer.iter_bytes()
                    first = next(parts)
                    if not leave:
                        count = frames_of(first + b"".join(parts))
                        check(count == self.frames, f"a stream has {count} frames, not {self.frames}")
                    return
                check(answer.status_code == 429, f"a stream was answered with {answer.status_code}")
            time.sleep(self.random.uniform(0.5, 2))
        raise TimeoutError("there was no room")

    def cancel(self, tally: Tally) -> None:
        """Order, and think better of it."""
        video = self.order(tally)
        time.sleep(self.random.uniform(0, 1))
        self.remove(tally, video)

    def remove(self, tally: Tally, video: str) -> None:
        """Remove a video; it is gone at once."""
        answer = self.http.delete(f"/v1/videos/{video}")
        check(answer.status_code == 200, f"removing was answered with {answer.status_code}")
        check(self.http.get(f"/v1/videos/{video}").status_code == 404, "a removed video is still there")
        with tally.lock:
            tally.accepted.discard(video)
            tally.removed += 1

    def leave_upload(self, _: Tally) -> None:
        """Hang up in the middle of an upload."""
        url = self.http.base_url
        token = self.http.headers.get("authorization")
        head = [f"POST /v1/videos HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"]
        head += [f"Authorization: {token}\r\n"] if token else []
        head += ["Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\n"]
        with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
            connection.sendall("".join(head).encode())
            connection.sendall(b'Content-Disposition: form-data; name="face"; filename="a.png"\r\n\r\n' + bytes(5000))
            time.sleep(self.random.uniform(0, 0.2))

    def leave_events(self, tally: Tally) -> None:
        """Hang up while events come."""
        video = self.order(tally)
        with self.http.stream("GET", f"/v1/videos/{video}/events") as events:
            next(events.iter_lines())

    def bad(self, tally: Tally) -> None:
        """What cannot be used; refused in one form."""
        much = {"face": ("a.png", b"x" * 50_000), "audio": self.files["audio"]}
        ways: list[Callable[[], httpx.Response]] = [
            lambda: self.http.post("/v1/videos", files=much, data=self.fields),
            lambda: self.http.post("/v1/videos", files=self.files, data={"model": "nobody"}),
            lambda: self.http.post("/v1/videos", files=self.files, data={"options": "{"}),
            lambda: self.http.post("/v1/videos", json={"text": "Hi.", "face": "/etc/passwd"}),
            lambda: self.http.post("/v1/videos", json={"text": "Hi.", "face": "http://169.254.169.254/a.png"}),
            lambda: self.http.post(
                "/v1/videos", content=bytes(2_000_000), headers={"content-type": "application/json"}
            ),
            lambda: self.http.get(f"/v1/videos/video_{uuid.uuid4().hex}"),
            lambda: self.http.delete("/v1/videos/../../etc/passwd"),
        ]
        answer = self.random.choice(ways)()
        with tally.lock:
            tally.answers[answer.status_code] += 1
        check(400 <= answer.status_code < 500, f"bad input was answered with {answer.status_code}")
        check({"type", "message"} <= {*answer.json()["error"]}, f"an error of another form: {answer.text}")


def check(condition: bool, promise: str) -> None:
    """Raise where a promise is not kept."""
    if not condition:
        raise AssertionError(promise)


def frames_of(content: bytes) -> int:
    """How many frames a video has."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        return probe(file.name).video[0].num_frames


def dealt(count: int, by: random.Random) -> list[str]:
    """What is done in one round, each of `MANNERS` at least once where `count` allows, in an order chosen by chance."""
    names = list(MANNERS)
    names += by.choices(names, list(MANNERS.values()), k=max(0, count - len(names)))
    by.shuffle(names)
    return names[:count]


def one_round(clients: Sequence[Client], names: Sequence[str], tally: Tally) -> None:
    """So many things, by all clients at once; then every order is looked at."""
    left = iter(names)
    lock = threading.Lock()

    def work(client: Client) -> None:
        while True:
            with lock:
                name = next(left, None)
            if name is None:
                return
            client.once(name, tally)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = clients[0]
    for video in sorted(tally.accepted):
        state = client.http.get(f"/v1/videos/{video}")
        if state.status_code != 200:
            tally.faults.append(f"an accepted video is not there: {state.text}")
            continue
        ended = state.json() if state.json()["status"] in ENDED else client.wait(video)
        frames = frames_of(client.http.get(f"/v1/videos/{video}/content").content) if ended["status"] == ENDED[0] else 0
        if frames != client.frames:
            tally.faults.append(f"an accepted video is {ended['status']} with {frames} frames: {ended['error']}")
        tally.made += 1
        client.http.delete(f"/v1/videos/{video}")
    tally.accepted.clear()


def load(
    where: dict[str, Any],
    files: dict[str, Path],
    fields: dict[str, str],
    *,
    count: int,
    clients: int,
    rounds: int = 1,
    seed: int = 0,
    held: Callable[[], Held | None] = lambda: None,
) -> Figures:
    """All rounds.

    Args:
        where: address and headers for `httpx.Client`.
        files: face and audio. fields: further ones of every order.
        held: what the service holds now.
    """
    tally = Tally()
    first = Client(where, files, fields, 0, seed)
    video = first.order(tally)
    check(first.wait(video)["status"] == "completed", "the first video was not made")
    frames = frames_of(first.http.get(f"/v1/videos/{video}/content").content)
    first.remove(tally, video)
    tally.removed = 0
    everybody = [Client(where, files, fields, frames, seed + number) for number in range(clients)]
    seen = [held()]
    begun = time.perf_counter()
    by = random.Random(seed)
    for _ in range(rounds):
        one_round(everybody, dealt(count, by), tally)
        time.sleep(1.0)  # connections that were left are noticed
        seen.append(held())
        sys.stderr.write(f"{seen[-1]}, {len(tally.faults)} faults\n")
    seconds = time.perf_counter() - begun
    for client in (first, *everybody):
        client.http.close()
    return Figures(
        count * rounds,
        clients,
        seconds,
        dict(tally.done),
        dict(sorted(tally.answers.items())),
        tally.made,
        tally.removed,
        tally.faults,
        [item for item in seen if item is not None],
    )


@contextmanager
def started(more: Sequence[str]) -> Iterator[tuple[str, Callable[[], Held]]]:
    """A service in a process of its own: its address, and what it holds (Linux)."""
    with tempfile.TemporaryDirectory() as data:
        command = [
            sys.executable,
            "-m",
            "talkinghead",
            "serve",
            "--port",
            "0",
            "--data",
            data,
            "--per-minute",
            "100000",
        ]
        process = subprocess.Popen([*command, "--max-own", "1000", *more], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = re.search(r"http://\S+/", process.stdout.readline())
            check(url is not None, "the service did not start")
            assert url is not None

            def held() -> Held:
                place = Path("/proc") / str(process.pid)
                status = (place / "status").read_text(encoding="ascii")
                found = {name: int(value) for name, value in re.findall(r"^(VmRSS|Threads):\s*(\d+)", status, re.M)}
                return Held(found["VmRSS"] / 1024, found["Threads"], len(list((place / "fd").iterdir())))

            yield url[0].split()[0], held
        finally:
            process.terminate()
            process.wait(60)


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--face", type=Path, required=True)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--model", default="viseme")
    parser.add_argument("--count", type=int, default=200, help="requests of a round")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-waiting", type=int, default=10, help="of the service that is started")
    parser.add_argument("--url", help="a service that runs already")
    parser.add_argument("--token", default="")
    parser.add_argument("--json", type=Path, help="write the figures into this file")
    given = parser.parse_args(arguments)
    files, fields = {"face": given.face, "audio": given.audio}, {"model": given.model}
    settings = {"count": given.count, "clients": given.clients, "rounds": given.rounds, "seed": given.seed}
    if given.url:
        headers = {"Authorization": f"Bearer {given.token}"} if given.token else {}
        figures = load({"base_url": given.url, "headers": headers}, files, fields, **settings)
    else:
        with started(["--max-waiting", str(given.max_waiting)]) as (url, held):
            figures = load({"base_url": url}, files, fields, held=held, **settings)
    text = json.dumps(asdict(figures), indent=2)
    sys.stdout.write(text + "\n")
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
