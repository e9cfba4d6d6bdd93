"""Serving the page: on this machine unless asked otherwise, with nothing fetched from anywhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkinghead.errors import MissingDependency, OptionError
from talkinghead.hosting.folders import server_folder, sweep
from talkinghead.hosting.hosts import Hosts, host_names
from talkinghead.hosting.logins import Logins
from talkinghead.hosting.running import listening_socket
from talkinghead.registry import DEFAULT_FAMILY, family
from talkinghead.webui.options import AppOptions

if TYPE_CHECKING:
    from talkinghead.hosting.workshop import Workshop
    from talkinghead.webui.studio import Studio

HOUSEKEEPING_S = 60.0


@dataclass(frozen=True)
class RunningApp:
    """A page that is being served."""

    url: str
    """Address for a browser on this machine."""
    share_url: str | None
    """Public address, if that was asked for."""
    port: int


@contextmanager
def open_app(
    options: AppOptions | None = None,
    *,
    model: str = DEFAULT_FAMILY,
    folders: Sequence[Path] = (),
    fixed: Mapping[str, Mapping[str, Any]] | None = None,
    workshop: Workshop | None = None,
) -> Iterator[RunningApp]:
    """Serve the page while the `with` block runs; afterwards jobs are cancelled and every file is removed.

    Args:
        model: the model that is chosen at first.
        folders: gallery folders: pictures and videos of faces, template folders, scenes.
        fixed: model name to fields of its configuration that are set for everyone.
        workshop: one that another door of this process uses too; then `folders` and `fixed` are its own.
    Raises:
        MissingDependency: gradio is not installed. OptionError: no such model, the port is taken, or the page cannot
            be published though that was asked for.
        MediaNotFound: no such folder.
    """
    options = options or AppOptions()
    family(model)
    sweep()
    with server_folder() as temporary, _environment(temporary):
        gr = _gradio()
        from talkinghead.webui.page import build_page
        from talkinghead.webui.studio import Studio

        studio = Studio(temporary, options, folders=folders, fixed=fixed, workshop=workshop)
        stopped = threading.Event()
        hosts = Hosts(options.host, host_names(options.allow_host))
        try:
            blocks = build_page(studio, model=model)
            try:
                running = _launch(gr, blocks, options, studio, hosts, stopped)
                with _published(options, running.port, blocks.share_token, hosts) as share_url:
                    yield replace(running, share_url=share_url)
            finally:
                stopped.set()
                studio.stop()
                blocks.close(verbose=False)
        finally:
            studio.close()


def _launch(
    gr: Any, blocks: Any, options: AppOptions, studio: Studio, hosts: Hosts, stopped: threading.Event
) -> RunningApp:
    from talkinghead.webui.guard import Guard
    from talkinghead.webui.studio import MAX_SESSIONS

    logins = Logins(options.logins) if options.logins else None

    @asynccontextmanager
    async def guarded(framework: Any) -> AsyncIterator[None]:
        """Stand before everything that the framework has; begins before the first request is taken."""
        framework.middleware_stack = Guard(framework.middleware_stack, framework, studio, hosts, logins)
        studio.forget = lambda key: _forget(framework, key)
        yield

    with listening_socket(options.host, options.port, "The page") as trial:
        port = int(trial.getsockname()[1])
    style, script = (
        (files("talkinghead.assets") / name).read_text(encoding="utf-8") for name in ("webui.css", "webui.js")
    )
    _, url, _ = blocks.launch(
        server_name=options.host,
        server_port=port,
        share=False,  # see _published
        auth=logins.check if logins is not None else None,
        prevent_thread_lock=True,
        quiet=True,
        inbrowser=False,
        show_error=False,  # what is ours says what went wrong by itself
        max_threads=200,
        max_file_size=f"{options.max_upload_mb}mb",
        state_session_capacity=MAX_SESSIONS,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        allowed_paths=[],
        theme=page_theme(gr),
        head=f"<style>{style}</style><script>{script}</script>",  # gradio's own parameter rewrites selectors
        app_kwargs={"lifespan": guarded, "docs_url": None, "redoc_url": None},
    )
    threading.Thread(target=_keep_house, args=(studio, stopped), name="webui-housekeeping", daemon=True).start()
    return RunningApp(url.rstrip("/") + "/", None, port)


def _forget(framework: Any, key: str) -> None:
    """Let gradio forget a session that ended: it would keep its copy of the page's settings."""
    holder = framework.state_holder
    with holder.lock:
        holder.session_data.pop(key, None)
        holder.time_last_used.pop(key, None)


@contextmanager
def _published(options: AppOptions, port: int, token: str, hosts: Hosts) -> Iterator[str | None]:
    """The page's public address while the block runs, if that was asked for.

    The tunnel is gradio's own. Gradio's `launch(share=True)` would also serve another page, whose program comes from a
    cloud store (the page's own policy refuses that), and would go on without a public address when there is none.

    Raises:
        OptionError: there is no way to the relay.
    """
    if not options.share:
        yield None
        return
    from talkinghead.weights.offline import offline_reason

    if reason := offline_reason():
        raise OptionError(f"The page cannot be published: {reason} forbids the network.", remedy="without --share")
    from gradio import networking, tunneling

    before = list(tunneling.CURRENT_TUNNELS)
    try:
        try:
            with redirect_stdout(sys.stderr):
                address = networking.setup_tunnel(options.host, port, token, None, None)
        except Exception as error:  # whatever the network, the relay or its program say
            raise OptionError(
                f"The page cannot be published: {str(error).strip() or type(error).__name__}",
                remedy="the connection to the internet; or leave out --share",
            ) from error
        hosts.add(address.partition("://")[2].partition("/")[0])
        yield "https://" + address.partition("://")[2]
    finally:
        for tunnel in tunneling.CURRENT_TUNNELS:
            if tunnel not in before:
                with redirect_stdout(sys.stderr):
                    tunnel.kill()


def _keep_house(studio: Any, stopped: threading.Event) -> None:
    while not stopped.wait(HOUSEKEEPING_S):
        studio.end_old_sessions()


def page_theme(gr: Any) -> Any:
    """Colours and the fonts of the visitor's own system."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )


def _gradio() -> Any:
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingDependency("gradio", extra="web", purpose="The web page") from error
    return gr


@contextmanager
def _environment(temporary: Path) -> Iterator[None]:
    """Gradio's settings that are only read from the environment: its folder, and no reports to anybody."""
    wanted = {
        "GRADIO_TEMP_DIR": str(temporary),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),  # no statistics of the queue: nobody looks at them
        # whoever serves behind a proxy of their own names it here; else nobody says for others where they come from
        "FORWARDED_ALLOW_IPS": os.environ.get("FORWARDED_ALLOW_IPS", ""),
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1", "localhost"])),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def serve(
    options: AppOptions | None = None,
    *,
    model: str = DEFAULT_FAMILY,
    folders: Sequence[Path] = (),
    fixed: Mapping[str, Mapping[str, Any]] | None = None,
    on_ready: Callable[[RunningApp], None] | None = None,
) -> None:
    """Serve the page until interrupted (KeyboardInterrupt)."""
    with open_app(options, model=model, folders=folders, fixed=fixed) as app:
        if on_ready is not None:
            on_ready(app)
        while True:
            time.sleep(3600)
