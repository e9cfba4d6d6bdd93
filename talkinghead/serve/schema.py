"""The answers of the service, as its description (OpenAPI) has them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from talkinghead.contracts import STAGES
from talkinghead.hosting.workshop import Workshop
from talkinghead.registry import DEFAULT_FAMILY
from talkinghead.serve.desk import Video


class Fault(BaseModel):
    """What went wrong."""

    type: str = Field(description="Name of the kind of error.", examples=["NoFaceFound"])
    message: str = Field(description="What was given or what happened.", examples=["There is no face in the picture."])
    accepted: str | None = Field(None, description="What would have been accepted.")
    remedy: str | None = Field(None, description="What to try next.")


class FaultAnswer(BaseModel):
    """Every answer with a status of 400 or above."""

    error: Fault


class VideoAnswer(BaseModel):
    """A video, as it is now."""

    id: str = Field(examples=["video_0f4c9d0f6c0b4b6a9c1f1c7d3b1f0a2e"])
    object: Literal["video"] = "video"
    status: Literal["queued", "in_progress", "completed", "failed", "cancelled"]
    model: str = Field(examples=[DEFAULT_FAMILY])
    progress: int = Field(description="How much of the work is done, in percent.", ge=0, le=100)
    stage: str = Field(description="What is done now.", examples=["render"])
    stage_title: str = Field(description="The same for people.", examples=["Making the video"])
    position: int = Field(description="How many are before it in line, itself included; 0 once it runs.")
    left_s: float | None = Field(description="Seconds until it is done, where that can be told.")
    created_at: int = Field(description="Seconds since 1970.")
    completed_at: int | None = Field(description="When it ended, seconds since 1970.")
    expires_at: int | None = Field(description="When it will be removed, seconds since 1970.")
    seconds: float | None = Field(description="Length of the video.")
    size: str | None = Field(description="Width and height, pixels.", examples=["512x512"])
    fps: str | None = Field(description="Frames per second, exact.", examples=["25"])
    bytes: int | None = Field(description="Size of the file.")
    realtime_factor: float | None = Field(description="Seconds of video made per second of work.")
    variants: list[str] = Field(description="What /content gives.", examples=[["video", "thumbnail", "cues", "report"]])
    warnings: list[str] = Field(description="What is worth knowing about the result.")
    error: Fault | None = Field(description="Why it failed.")


class VideoList(BaseModel):
    """One's own videos."""

    object: Literal["list"] = "list"
    data: list[VideoAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Removed(BaseModel):
    """A video that is gone."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool = True


class ModelList(BaseModel):
    """The models of this server: what each takes, whether it is ready, its sources and options."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]


class Voice(BaseModel):
    """What speaks texts."""

    engine: str = Field(examples=["espeak"])
    summary: str
    ready: bool
    why_not: str
    languages: list[str]
    voices: list[str]


class VoiceList(BaseModel):
    """Speech engines with their languages and voices."""

    object: Literal["list"] = "list"
    data: list[Voice]


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok", "stopping"]


def answer(video: Video, keep_h: float) -> VideoAnswer:
    """A video as its client sees it."""
    record, state = video.record, video.state()
    status = record.status
    if not record.has_ended:
        status = {"waiting": "queued", "working": "in_progress"}.get(state.phase, "cancelled")  # type: ignore[assignment]
    result, made = record.result, record.status == "completed"
    stage = "" if record.has_ended else state.stage if state.phase == "working" else "wait"
    return VideoAnswer(
        id=record.id,
        status=status,
        model=record.asked.model,
        progress=100 if made else min(99, int(100 * state.share)),
        stage=stage,
        stage_title=STAGES.get(stage, ""),
        position=state.position,
        left_s=round(state.left_s, 1) if state.left_s is not None else None,
        created_at=int(record.created_s),
        completed_at=int(record.ended_s) if record.has_ended else None,
        expires_at=int(record.ended_s + 3600 * keep_h) if record.has_ended else None,
        seconds=result["audio_s"] if made else None,
        size=f"{result['width']}x{result['height']}" if made else None,
        fps=result["fps"] if made else None,
        bytes=result["bytes"] if made else None,
        realtime_factor=round(result["realtime_factor"], 3) if made else None,
        variants=list(result["files"]) if made else [],
        warnings=list(result["warnings"]) if made else [],
        error=Fault(**record.error) if record.error else None,
    )


def voices(workshop: Workshop) -> list[Voice]:
    """What can speak here."""
    return [
        Voice(
            engine=found.name,
            summary=found.summary,
            ready=found.usable,
            why_not=workshop.without_folders(found.why_not),
            languages=list(found.languages),
            voices=list(found.variants),
        )
        for found in workshop.engines()
    ]
