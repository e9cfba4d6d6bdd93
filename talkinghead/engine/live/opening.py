"""From a head and a prepared face to a live session."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from talkinghead.contracts import Frame, Phone, Picture
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import Listener
from talkinghead.engine.live.clock import Clock, WallClock
from talkinghead.engine.live.face import Order
from talkinghead.engine.live.host import Host
from talkinghead.engine.live.moments import LiveOptions
from talkinghead.engine.live.pictures import Shown
from talkinghead.engine.live.session import LiveSession

if TYPE_CHECKING:
    from talkinghead.engine.head import AnyHead, Avatar

LONGEST_S = 366 * 24 * 3600
"""How long a session goes on at most."""

_opening = threading.Lock()


def open_session(
    head: AnyHead, avatar: Avatar, options: LiveOptions | None = None, *, clock: Clock | None = None
) -> LiveSession[Any]:
    """As `Head.live`.

    Args:
        clock: another time than the wall's: then nothing runs in threads but the reading of videos, and whoever moves
            the clock calls `Host.step` and `LiveSession.listen_now`.
    """
    from talkinghead.engine.head import RenderOptions

    options = options or LiveOptions()
    render = RenderOptions(fps=options.fps, loop=options.loop)
    fps: Fraction = head.output_fps(avatar, render)

    run = RunContext(cache=avatar.cache or Cache())
    listener = head.of_parts(head.live_listener(avatar, fps, run))
    with _opening:
        if head.host is None or (clock is not None and head.host.clock is not clock):
            head.host = Host(
                lambda orders: _drawn(head, orders),
                head.drawn_at_once,
                clock or WallClock(),
                run,
                threaded=clock is None,
            )
        host = head.host

    def hear(shown: Avatar, phones: tuple[Phone, ...] | None) -> Listener[Any]:
        return head.live_listener(shown, fps, host.run, phones=phones)

    def show(shown: Avatar, first: int) -> Shown:
        plan = head.plan_frames(shown, int(LONGEST_S * fps), fps, render)
        return Shown(shown, head.live_face(shown, fps, host.run), plan, first, host.news)

    return LiveSession(
        host,
        avatar,
        options,
        fps,
        hear=hear,
        show=show,
        lookahead_s=listener.lookahead_s,
        fallbacks=head.fallbacks,
        threaded=clock is None,
        origin=head.origin(),
    )


def _drawn(head: AnyHead, orders: Sequence[Order]) -> Sequence[Frame | Picture]:
    """Pictures as they are shown: a face that was set upright is turned back."""
    pictures = head.draw(orders)
    return [
        picture if order.avatar.turn is None else order.avatar.turn.undone.apply(picture)
        for order, picture in zip(orders, pictures, strict=True)
    ]
