"""The description of the API: examples for OpenAPI, and the same as one page that needs no script and no network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from talkinghead.serve.orders import FILES, Asked

_HELP = {
    "model": "Name of a model; /v1/models lists them.",
    "source": "Name of a face of the gallery, an avatar, a template or a scene; instead of a face.",
    "face": "Picture or video of a face.",
    "audio": "Speech: a sound file, or a video with one.",
    "text": "What is said, instead of a sound.",
    "lang": "Language of the text.",
    "voice": "Voice of the text; /v1/voices lists them.",
    "engine": "What speaks the text.",
    "speed": "Pace of the text.",
    "checkpoint": "Name of a model file of the server.",
    "options": "Options by group and name, as /v1/models lists them.",
    "stream": "Make a video that can be watched while it is made.",
}
_KINDS = {"speed": "number", "stream": "boolean", "options": "object"}
ORDER = {"text": "Hello, and welcome to the course.", "source": "Portrait", "options": {"video": {"fps": 25}}}
ADDRESSES = {"face": "https://cdn.example.com/anna.png", "audio": "https://cdn.example.com/lesson-1.wav"}


def _schema(*, form: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in Asked.__dataclass_fields__:
        kind: dict[str, Any] = {"type": _KINDS.get(name, "string"), "description": _HELP[name]}
        if name in FILES:
            kind |= {"format": "binary"} if form else {"format": "uri"}
        fields[name] = kind
    return {"type": "object", "properties": fields}


EXAMPLES: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": _schema(form=True)},
        "application/json": {
            "schema": _schema(form=False),
            "examples": {
                "text": {"summary": "A text and a face of the gallery", "value": ORDER},
                "addresses": {"summary": "Files at addresses that the server allows", "value": ADDRESSES},
            },
        },
    },
}
"""The body of an order, for OpenAPI."""


def description() -> str:
    """What stands at the beginning."""
    return (
        "Speech and a face in, a talking-head video out. Order a video, watch its events, fetch it, remove it. "
        "Every error has the form {error: {type, message, accepted, remedy}}."
    )


def page(found: Mapping[str, Any]) -> str:
    """The description as HTML.

    Args:
        found: OpenAPI.
    """
    info = found["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])} {escape(info['version'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>",
        "<p>For programs: <a href=/openapi.json>openapi.json</a>.</p>",
        "<h2>Try it</h2><pre>",
        escape(_CURL),
        "</pre>",
    ]
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if method != "head":
                parts.extend(_operation(found, path, method, operation))
    return "".join(parts)


def _operation(found: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    rows = [
        (item["name"], item["in"], item.get("description", "") or item.get("schema", {}).get("description", ""))
        for item in operation.get("parameters", ())
    ]
    body = operation.get("requestBody", {}).get("content", {})
    form = body.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
    rows += [(name, "form or JSON", item.get("description", "")) for name, item in form.items()]
    if rows:
        cells = (f"<tr><td><code>{escape(a)}</code><td>{escape(b)}<td>{escape(c)}" for a, b, c in rows)
        yield f"<table>{''.join(cells)}</table>"
    for example in body.get("application/json", {}).get("examples", {}).values():
        yield f"<p>{escape(example['summary'])}:</p><pre>{escape(json.dumps(example['value'], indent=2))}</pre>"
    answers = []
    for code, item in operation.get("responses", {}).items():
        name = next((_named(kind.get("schema", {})) for kind in item.get("content", {}).values()), "")
        answers.append(f"<li><b>{escape(code)}</b> {escape(item.get('description', ''))} {escape(name)}")
        fields = found.get("components", {}).get("schemas", {}).get(name, {}).get("properties", {})
        if code.startswith("2") and fields:
            cells = (f"<tr><td><code>{escape(key)}</code><td>{escape(_told(item))}" for key, item in fields.items())
            answers.append(f"<table>{''.join(cells)}</table>")
    yield f"<ul>{''.join(answers)}</ul>"


def _named(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _told(item: Mapping[str, Any]) -> str:
    return str(item.get("description") or item.get("type") or item.get("const") or "")


_CURL = """curl -F face=@me.png -F audio=@hello.wav http://localhost:8962/v1/videos
curl http://localhost:8962/v1/videos/ID
curl -N http://localhost:8962/v1/videos/ID/events
curl -o video.mp4 http://localhost:8962/v1/videos/ID/content
curl -X DELETE http://localhost:8962/v1/videos/ID"""
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h2{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem;font-size:1.1rem}code,pre{background:#f2f4f5}"
    "pre{padding:.8rem;overflow:auto}table{border-collapse:collapse}td{padding:.2rem .8rem .2rem 0;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181a1b}code,pre{background:#26292b}}"
)
