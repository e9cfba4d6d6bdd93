"""What stands on the page's stage, and under it, as HTML: the first view, a face that waits, a video, the history.

The outermost element of each is another, so that the page builds it anew where it changes from one to the next (it
keeps elements that stay the same), and plays the next video in the same player.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from talkinghead.webui.widgets import ICONS


@dataclass(frozen=True)
class Made:
    """A video of the session, by addresses."""

    number: int
    title: str
    video: str
    poster: str
    source: str = ""
    """The face as it was given; empty where there is none to compare with."""
    source_is_picture: bool = True
    files: tuple[tuple[str, str, str], ...] = ()
    """Id, label and address of what can be downloaded, the video first."""

    @property
    def spoken_title(self) -> str:
        return f"Video {self.number}: {self.title}"


def hero_html(video: str, poster: str) -> str:
    """The first view: a result that plays without sound until it is asked for."""
    return (
        '<section class="th-stage" data-state="hero" aria-label="An example">'
        f'<img class="th-blur" src="{poster}" alt="">'
        f'<video id="hero" src="{video}" poster="{poster}" muted autoplay loop playsinline tabindex="-1" '
        'aria-label="A painted portrait that speaks"></video>'
        '<div class="th-stage-tools">'
        f'<button type="button" class="th-pill" data-th="hear">{ICONS["sound"]}<span>Hear it</span></button>'
        f'<button type="button" class="th-pill th-round" data-th="pause" aria-label="Pause">{ICONS["pause"]}</button>'
        "</div></section>"
    )


def still_html(picture: str, name: str, *, working: bool = False, small: bool = False) -> str:
    """A face that was chosen; dimmed while something is made of it.

    Args:
        small: the picture is no larger than a card.
    """
    state, size = "working" if working else "still", " th-small" if small else ""
    inside = (
        f'<img class="th-blur" src="{picture}" alt=""><img class="th-still{size}" src="{picture}" alt="{escape(name)}">'
        if picture
        else '<p class="th-stage-note">Your video appears here.</p>'
    )
    return f'<div class="th-stage" data-state="{state}">{inside}</div>'


def result_html(made: Made) -> str:
    """A video, and beside it the face as it was given, once that is asked for."""
    source = ""
    if made.source:
        media = (
            f'<img src="{made.source}" alt="The picture that was given">'
            if made.source_is_picture
            else f'<video src="{made.source}" muted loop playsinline tabindex="-1" '
            'aria-label="The film that was given"></video>'
        )
        source = f'<figure class="th-source">{media}<figcaption>Before</figcaption></figure>'
    return (
        '<article class="th-stage" data-state="result">'
        f'<img class="th-blur" src="{made.poster}" alt="">'
        f'{source}<figure class="th-made"><video id="player" src="{made.video}" poster="{made.poster}" controls '
        f'autoplay playsinline aria-label="{escape(made.spoken_title, quote=True)}"></video>'
        "<figcaption>After</figcaption></figure></article>"
    )


def downloads_html(made: Made) -> str:
    """What can be done with a video."""
    first, *others = made.files
    compare = (
        f'<button type="button" class="th-button" id="compare" data-th="compare" aria-pressed="false">'
        f"{ICONS['compare']}<span>Compare</span></button>"
        if made.source
        else ""
    )
    more = "".join(
        f'<a class="th-link" id="download-{name}" href="{where}" download>{escape(label)}</a>'
        for name, label, where in others
    )
    return (
        f'<div class="th-downloads"><a class="th-button th-strong" id="download-{first[0]}" href="{first[2]}" download>'
        f"{ICONS['down']}<span>{escape(first[1])}</span></a>{compare}"
        f'<span class="th-more">{more}</span></div>'
    )


def history_html(videos: Sequence[Made], current: int | None) -> str:
    """The videos of a session, newest first; nothing where there are none."""
    if not videos:
        return ""
    items = "".join(_history_item(index, made, made.number == current) for index, made in enumerate(videos))
    return (
        '<section aria-label="History"><h2 class="th-heading">Your videos</h2>'
        f'<ul class="th-history">{items}</ul></section>'
    )


def _history_item(index: int, made: Made, is_current: bool) -> str:
    title = escape(made.title)
    spoken = escape(made.title, quote=True)
    return (
        f"<li{' class=th-current' if is_current else ''}>"
        f'<button type="button" class="th-history-show" data-do="select" data-index="{index}" '
        f'{"aria-current=true " if is_current else ""}aria-label="Show {escape(made.spoken_title, quote=True)}">'
        f'<img src="{made.poster}" alt="" loading="lazy"><span class="th-history-title">{title}</span></button>'
        f'<span class="th-history-tools"><a class="th-round" href="{made.video}" download '
        f'aria-label="Download {spoken}">{ICONS["down"]}</a>'
        f'<button type="button" class="th-round" data-do="delete" data-index="{index}" '
        f'aria-label="Delete {spoken}">{ICONS["bin"]}</button></span></li>'
    )
