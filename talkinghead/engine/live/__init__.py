"""A head that speaks while the sound still arrives: a session on one clock.

    push, say ──► Utterance: sound, and windows as its listener gives them ──┐
                                                                             ├──► Timeline: what each frame of the
    silence ────► the face at rest ──────────────────────────────────────────┘    clock shows and sounds like
                                                                                      │ what is to be drawn, first
                                                                             Host: draws for all sessions of a head
                                                                                      │ pictures
                                                                             Session: gives each moment when it is due

A frame of the clock is settled shortly before it is due: with speech, if the window and the whole sound of the next
frame of an utterance are there, else with the face at rest. Once settled it sounds as it was settled, whatever becomes
of its picture, so sound is never lost, doubled or stretched.
"""

from talkinghead.engine.live.moments import Interrupted, LiveOptions, LiveStats, Moment
from talkinghead.engine.live.process import keeping_time
from talkinghead.engine.live.session import LiveSession

__all__ = ["Interrupted", "LiveOptions", "LiveSession", "LiveStats", "Moment", "keeping_time"]
