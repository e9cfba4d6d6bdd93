"""Order a talking-head video over HTTP, watch how far it is, and fetch it.

    pip install httpx
    python examples/http_client.py me.jpg hello.wav -o hello.mp4
    python examples/http_client.py me.jpg --text "Hello." -o hello.mp4 --url https://th.example.com --token $TOKEN

What may pass is tried again: a connection that was cut, a server that begins again, a queue that is full. The order has
an Idempotency-Key, so that however often it is sent there is one video; events go on where they were cut off.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

PATIENCE_S = 120.0
"""How long a server that is not there, or has no room, is asked again."""


class Failed(Exception):
    """The server says that it cannot be done."""


def patiently(client: httpx.Client, method: str, address: str, **more: Any) -> httpx.Response:
    """Ask until there is an answer that will not change."""
    end = time.monotonic() + PATIENCE_S
    while True:
        wait = 1.0
        try:
            answer = client.request(method, address, **more)
            if answer.status_code not in (429, 502, 503, 504) and "retry-after" not in answer.headers:
                return checked(answer)
            wait = float(answer.headers.get("retry-after", wait))
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
        if time.monotonic() > end:
            raise Failed(f"{address}: there was no room for {PATIENCE_S:.0f} s")
        time.sleep(wait)


def checked(answer: httpx.Response) -> httpx.Response:
    """An answer, if it is no error."""
    if answer.is_error:
        answer.read()
        error = answer.json()["error"]
        raise Failed("\n".join(filter(None, (error["message"], error.get("accepted"), error.get("remedy")))))
    return answer


def order(client: httpx.Client, face: Path, sound: Path | None, text: str | None, **fields: str) -> str:
    """Send what the video is made of; gives its id."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    files = {"face": face, **({"audio": sound} if sound else {})}
    sent = {name: (path.name, path.read_bytes()) for name, path in files.items()}
    data = {**fields, **({"text": text} if text else {})}
    return str(patiently(client, "POST", "/v1/videos", files=sent, data=data, headers=key).json()["id"])


def watch(client: httpx.Client, video: str) -> Iterator[dict[str, Any]]:
    """How far it is, until it has ended; connections that are cut are made again."""
    last, end = "", time.monotonic() + PATIENCE_S
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        try:
            with client.stream("GET", f"/v1/videos/{video}/events", headers=headers) as events:
                for line in checked(events).iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        last, end = value, time.monotonic() + PATIENCE_S
                    elif name == "data":
                        state = json.loads(value)
                        yield state
                        if state["status"] in ("completed", "failed", "cancelled"):
                            return
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
        time.sleep(0.5)


def fetch(client: httpx.Client, video: str, target: Path) -> None:
    """Write the finished video; what was fetched before a connection was cut is not fetched again."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    end = time.monotonic() + PATIENCE_S
    while True:
        there = part.stat().st_size if part.exists() else 0
        try:
            rest = {"Range": f"bytes={there}-"}
            with client.stream("GET", f"/v1/videos/{video}/content", headers=rest) as answer, part.open("ab") as file:
                for data in checked(answer).iter_bytes():
                    file.write(data)
            part.replace(target)
            return
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Order a talking-head video over HTTP.")
    parser.add_argument("face", type=Path)
    parser.add_argument("audio", type=Path, nargs="?")
    parser.add_argument("--text", help="what is said, instead of a sound")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="viseme")
    parser.add_argument("--url", default="http://localhost:8962")
    parser.add_argument("--token", default="")
    given = parser.parse_args(arguments)
    headers = {"Authorization": f"Bearer {given.token}"} if given.token else {}
    with httpx.Client(base_url=given.url, headers=headers, timeout=60.0) as client:
        try:
            video = order(client, given.face, given.audio, given.text, model=given.model)
            for state in watch(client, video):
                left = f", {state['left_s']:.0f} s left" if state["left_s"] else ""
                sys.stderr.write(f"{state['status']:12} {state['progress']:3} % {state['stage_title']}{left}\n")
            if state["status"] != "completed":
                raise Failed(state["error"]["message"] if state["error"] else state["status"])
            fetch(client, video, given.output)
            client.delete(f"/v1/videos/{video}")
        except (Failed, httpx.TransportError, OSError) as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
