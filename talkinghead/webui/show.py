"""Progress, reports and errors as HTML. Every text is escaped; nothing here comes from or goes to the network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from talkinghead.contracts import STAGES, Report, StageTime
from talkinghead.service.availability import Availability
from talkinghead.service.jobs import JobState
from talkinghead.webui.widgets import address


def duration(seconds: float) -> str:
    """ "8 s", "2 min 05 s", "1 h 02 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def step(name: str, number: int, title: str) -> None:
    """The heading of a step of the page."""
    import gradio as gr

    gr.HTML(
        f'<h2 class="th-heading" id="{name}-heading"><span class="th-number" aria-hidden="true">{number}</span>'
        f"{escape(title)}</h2>",
        apply_default_css=False,
    )


def sample_html(sound: Path) -> str:
    """The sentence that comes along, to read and to hear."""
    return (
        f'<div class="th-sample"><blockquote>{escape(sample_text())}</blockquote>'
        f'<audio controls preload="none" src="{address(sound)}" aria-label="The sample sentence"></audio></div>'
    )


def sample_text() -> str:
    """What the bundled sentence says."""
    from talkinghead.assets import demo_text

    return demo_text()


def progress_html(state: JobState) -> str:
    """A job under way: place in line, or one bar for the whole job with the time left, and what it does now."""
    if state.phase == "waiting":
        line = f"In line: position {state.position} of {max(state.waiting, state.position)}"
        return _panel("waiting", line, "It starts as soon as the ones before it are done.", None)
    now = STAGES.get(state.stage, state.stage)
    title = f"{duration(state.left_s)} left" if state.left_s is not None else "Making your video"
    return _panel("working", title, now, state.share or None)


def beginning_html() -> str:
    """A job that was just asked for."""
    return _panel("working", "Making your video", "", None)


def _panel(kind: str, title: str, detail: str, fraction: float | None) -> str:
    percent = "" if fraction is None else f"{100 * fraction:.0f}"
    known = f'aria-valuenow="{percent}"' if percent else ""
    width = f'style="width:{percent}%"' if percent else ""
    moving = "" if percent else " th-moving"
    return (
        f'<div class="th-panel th-{kind}"><div class="th-title"><span>{escape(title)}</span>'
        f'<span class="th-percent">{percent + "%" if percent else ""}</span></div>'
        f'<div class="th-bar{moving}" role="progressbar" aria-label="Your video" aria-valuemin="0" '
        f'aria-valuemax="100" {known}><div {width}></div></div>'
        f'<div class="th-detail">{escape(detail)}</div></div>'
    )


def done_html(report: Report, elapsed_s: float) -> str:
    """A finished job in a sentence."""
    took = duration(elapsed_s) if elapsed_s >= 10 else f"{elapsed_s:.1f} s"
    detail = f"{report.audio_s:.1f} s of video, {report.width} x {report.height}, made in {took}"
    return (
        f'<div class="th-panel th-done" role="status"><div class="th-title">Done</div>'
        f'<div class="th-detail">{escape(detail)}</div></div>'
    )


def plain_html(title: str, detail: str = "") -> str:
    """What was asked for."""
    more = f'<div class="th-detail">{_lines(detail)}</div>' if detail else ""
    return f'<div class="th-panel" role="status"><div class="th-title">{escape(title)}</div>{more}</div>'


def note_html(title: str, detail: str = "") -> str:
    """Something to know, no error."""
    more = f'<div class="th-detail">{_lines(detail)}</div>' if detail else ""
    return f'<div class="th-panel th-note" role="status"><div class="th-title">{escape(title)}</div>{more}</div>'


def error_html(sentence: str) -> str:
    """An error: the sentence, then what is accepted and what to try."""
    first, _, rest = sentence.partition("\n")
    more = f'<div class="th-detail">{_lines(rest)}</div>' if rest else ""
    return f'<div class="th-panel th-error" role="alert"><div class="th-title">{escape(first)}</div>{more}</div>'


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.splitlines())


def model_html(found: Availability) -> str:
    """What a model does, in plain words, and how to get it where it is missing."""
    facts = found.facts
    words = f'<p class="th-words">{escape(facts.plain or facts.summary)}</p>'
    if found.ready:
        return words
    return (
        f'{words}<div class="th-panel th-note" role="status"><div class="th-title">{escape(found.why_not)}</div>'
        f'<div class="th-detail">To get it: {_with_commands(found.remedy)}</div></div>'
    )


def _with_commands(text: str) -> str:
    """Commands in a remedy as code, so that they can be copied."""
    command = r"(?:talkinghead(?: [\w.-]+)+|pip install \S+)"
    parts = re.split(f"({command})", text)
    return "".join(f"<code>{escape(part)}</code>" if i % 2 else escape(part) for i, part in enumerate(parts))


def report_html(report: Report) -> str:
    """Where the time went and what really ran, folded; what went differently than asked for stands before it."""
    return (
        f'{_warnings(report)}<details class="th-details"><summary>Details</summary>'
        f'<div class="th-report">{_chart(report.stages)}{_facts(report)}</div></details>'
    )


def _warnings(report: Report) -> str:
    texts = [*report.fallbacks, *report.warnings]
    if not texts:
        return ""
    return '<ul class="th-warnings">' + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _chart(stages: Sequence[StageTime]) -> str:
    """One row per stage: a bar of work and waiting, and the seconds."""
    longest = max((stage.busy_s + stage.wait_input_s + stage.wait_output_s for stage in stages), default=0.0) or 1.0
    rows = []
    for stage in stages:
        name = STAGES.get(stage.name, stage.name)
        waited = stage.wait_input_s + stage.wait_output_s
        rate = f"{stage.items / stage.busy_s:.0f} a second" if stage.items > 1 and stage.busy_s > 0 else ""
        busy_width, wait_width = 100 * stage.busy_s / longest, 100 * waited / longest
        rows.append(
            f'<li><span class="th-stage-name">{escape(name)}</span>'
            f'<span class="th-stage-time">{stage.busy_s:.2f} s</span>'
            f'<span class="th-bars" aria-hidden="true"><span class="th-busy" style="width:{busy_width:.1f}%"></span>'
            f'<span class="th-wait" style="width:{wait_width:.1f}%"></span></span>'
            f'<span class="th-rate">{rate}</span></li>'
        )
    return (
        '<h2>Where the time went</h2><p class="th-words"><span class="th-key th-busy"></span> work '
        '<span class="th-key th-wait"></span> waiting. The last stages run side by side: the one that works longest '
        f'sets the pace.</p><ol class="th-times">{"".join(rows)}</ol>'
    )


def _facts(report: Report) -> str:
    rows = {
        "Model": report.model,
        "Ran on": f"{report.device} ({report.backend}, {report.precision})",
        "Video": f"{report.width} x {report.height}, {report.fps} frames/s, {report.num_frames} frames, "
        f"{report.video_codec or '?'}",
        "Sound": f"{report.audio_s:.2f} s, {report.audio_codec or 'none'}",
        "Time": f"{report.wall_s:.2f} s in all, {report.realtime_factor:.2f} times real time, "
        f"limited by {report.limited_by}",
        "Memory": f"{report.peak_memory_bytes / 1e6:.0f} MB at most, of the whole server"
        if report.peak_memory_bytes
        else "not known",
        "Faces": ", ".join(f"{count} frames {name}" for name, count in report.face_frames.items() if count) or "none",
        **{str(name).replace("_", " ").capitalize(): str(value) for name, value in report.model_details.items()},
    }
    if report.weights_sha256:
        rows["Weights"] = f"sha256 {report.weights_sha256[:16]}..."
    pairs = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in rows.items())
    return f'<h2>What ran</h2><dl class="th-facts">{pairs}</dl>'
