"""The service on a Ray cluster of its own, and what clients see when its processes are killed.

    python -m tests.fleet.serve_case FOLDER

Prints a row of JSON. A process of its own, since Ray leaves much behind in the one that starts it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from talkinghead.media import probe
from tests.synthetic_media import make_sound, speech_like

TOKEN = "anna-" + "a" * 20
PATIENCE_S = 240.0
SECONDS = 6.0


def main(folder: Path) -> dict[str, Any]:
    """Start, order, kill, fetch."""
    import ray
    from ray import serve

    from talkinghead.assets.portrait import astronaut
    from talkinghead.fleet.serve import app
    from talkinghead.media import write_png

    write_png(folder / "me.png", astronaut()[:256, 100:356].copy())
    make_sound(folder / "hello.wav", SECONDS, samples=speech_like(SECONDS, 16_000))
    (folder / "tokens").write_text(f"anna {TOKEN}\n")
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        port = probing.getsockname()[1]
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=128 << 20, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    args = {"data": str(folder / "data"), "tokens": str(folder / "tokens"), "max_replicas": "2"}
    serve.run(app(args), name="talkinghead", route_prefix="/")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=bearer()) as client:
            seen: dict[str, Any] = {"healthy": client.get("/healthz").json()["status"]}
            for name in ("Maker", "Desk"):
                video = order(client, folder)
                wait_for(client, video, lambda state: state["stage"] in ("render", "listen", "analyse-face"))
                seen[f"killed {name}"] = kill(name)
                ended = wait_for(client, video, lambda state: state["status"] in ("completed", "failed"))
                seen[name] = {
                    "status": ended["status"],
                    "error": ended["error"],
                    "frames": frames(client, video, folder),
                }
            video = order(client, folder)
            wait_for(client, video, lambda state: state["stage"] == "render")
            client.delete(f"/v1/videos/{video}")
            again = wait_for(client, order(client, folder), lambda state: state["status"] in ("completed", "failed"))
            seen["after a cancelled one"] = again["status"]
            return seen
    finally:
        serve.shutdown()
        ray.shutdown()


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}


def asked(client: httpx.Client, method: str, address: str, **more: Any) -> httpx.Response:
    """As a client that is patient."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = client.request(method, address, **more)
            if answer.status_code < 500 or time.monotonic() > end:
                return answer
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)


def order(client: httpx.Client, folder: Path) -> str:
    files = {
        "face": ("me.png", (folder / "me.png").read_bytes()),
        "audio": ("a.wav", (folder / "hello.wav").read_bytes()),
    }
    answer = asked(client, "POST", "/v1/videos", files=files)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait_for(client: httpx.Client, video: str, found: Any) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        state = dict(asked(client, "GET", f"/v1/videos/{video}").json())
        if found(state):
            return state
        time.sleep(0.05)
    raise TimeoutError(str(state))


def frames(client: httpx.Client, video: str, folder: Path) -> int:
    answer = asked(client, "GET", f"/v1/videos/{video}/content")
    path = folder / "got.mp4"
    path.write_bytes(answer.content)
    return probe(path).video[0].num_frames


def kill(name: str) -> int:
    """Kill the processes of a deployment; how many there were."""
    count = 0
    for place in Path("/proc").iterdir():
        try:
            title = (place / "cmdline").read_bytes().decode(errors="replace") if place.name.isdigit() else ""
            mine = title.startswith(f"ray::ServeReplica:talkinghead:{name}") and is_ours(int(place.name))
        except OSError:
            continue
        if mine:
            os.kill(int(place.name), signal.SIGKILL)
            count += 1
    return count


def is_ours(pid: int) -> bool:
    """Whether a process descends from this one."""
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if pid == os.getpid():
            return True
    return False


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
