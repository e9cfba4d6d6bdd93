"""Pieces of the page that Gradio does not have: places to drop a file, and choices among pictures.

Each is markup with native inputs, so that keyboards and screen readers know them; what moves in them is in
`assets/webui.js`. Their values are texts: the path of what was sent, or the name of what was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr


def address(path: Path) -> str:
    """Where the page finds a file of its server."""
    return "gradio_api/file=" + quote(str(path))


def drop_zone(name: str, title: str, kinds: str, accept: str, max_mb: int, *, visible: bool = True) -> Any:
    """A place for one file: dropped, chosen or pasted. Events: `upload` with a new file, `clear` without one.

    Args:
        name: its id on the page.
        title: what to put there.
        kinds: which files are known, in a line.
        accept: what the system's dialogue offers first, as in HTML; what is taken is judged by content.
    """
    markup = (
        f'<div class="th-drop" data-state="empty" data-max-mb="{max_mb}"><label class="th-drop-area">'
        f'<input type="file" accept="{accept}" aria-describedby="{name}-kinds">'
        f'{ICONS["upload"]}<span class="th-drop-title">{escape(title)} <span class="th-link">or browse</span></span>'
        f'<span class="th-drop-kinds" id="{name}-kinds">{escape(kinds)}</span></label>'
        f'<div class="th-drop-file">{ICONS["file"]}<span class="th-drop-name"></span>'
        '<button type="button" class="th-quiet th-drop-clear">Remove</button></div>'
        '<div class="th-drop-progress" role="status"></div></div>'
    )
    return gr.HTML(
        value="", html_template=markup, js_on_load="talkinghead.drop(element, props, trigger, watch)",
        elem_id=name, apply_default_css=False, visible=visible,
    )  # fmt: skip


@dataclass(frozen=True)
class Card:
    """One entry of a choice."""

    value: str
    title: str
    picture: str
    """Address."""
    words: str = ""
    """What it is, in a few words."""
    mark: str = ""
    """Something to know of it, such as "not installed"."""
    still: str = ""
    """Address of a picture that does not move, for visitors who asked for less motion."""


def choice(name: str, legend: str, cards: Iterable[Card], value: str, kind: str) -> Any:
    """One of several pictures. Event: `select`.

    Args:
        kind: class of the style sheet: "th-faces" or "th-models".
    """
    return gr.HTML(
        value=value, html_template="${cards}", cards=cards_html(name, legend, cards, kind),
        js_on_load="talkinghead.choice(element, props, trigger, watch)", elem_id=name, apply_default_css=False,
    )  # fmt: skip


def cards_html(name: str, legend: str, cards: Iterable[Card], kind: str) -> str:
    """The markup of a choice."""
    return (
        f'<fieldset class="th-choice {kind}"><legend class="th-hidden">{escape(legend)}</legend>'
        + "".join(_card_html(name, card) for card in cards)
        + "</fieldset>"
    )


def _card_html(name: str, card: Card) -> str:
    mark = f'<span class="th-mark">{escape(card.mark)}</span>' if card.mark else ""
    words = f'<span class="th-card-words">{escape(card.words)}</span>' if card.words else ""
    return (
        f'<label class="th-card"><input type="radio" name="{name}" value="{escape(card.value, quote=True)}">'
        f'<span class="th-card-picture">{picture_html(card.picture, card.still)}{mark}</span>'
        f'<span class="th-card-title">{escape(card.title)}</span>{words}</label>'
    )


def picture_html(picture: str, still: str = "") -> str:
    """A picture that tells nothing beyond the words beside it."""
    calm = f'<source media="(prefers-reduced-motion: reduce)" srcset="{still}">' if still else ""
    return f'<picture>{calm}<img src="{picture}" alt="" loading="lazy" draggable="false"></picture>'


def _icon(paths: str) -> str:
    return (
        '<svg class="th-icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">{paths}</svg>'
    )


ICONS = {
    "upload": _icon('<path d="M12 15V4m0 0 4 4m-4-4L8 8M4 15v3a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-3"/>'),
    "file": _icon('<path d="M6 3h8l4 4v14H6zM14 3v4h4"/>'),
    "sound": _icon('<path d="M4 9v6h4l5 4V5L8 9zM16.5 8.5a5 5 0 0 1 0 7M19 6a8.5 8.5 0 0 1 0 12"/>'),
    "pause": _icon('<path d="M9 5v14M15 5v14"/>'),
    "play": _icon('<path d="M7 4.5v15l12-7.5z"/>'),
    "down": _icon('<path d="M12 4v11m0 0 4-4m-4 4-4-4M5 20h14"/>'),
    "compare": _icon('<path d="M4 5h6v14H4zM14 5h6v14h-6z"/>'),
    "bin": _icon('<path d="M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5"/>'),
}
"""Drawn in the colour of the text."""
