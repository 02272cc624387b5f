"""Create the backends that --backend names, and check what they can do."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from typing import TypeVar

from stable_restyle.backends.base import Backend, BackendCheck
from stable_restyle.backends.comfy_api.backend import ComfyApiBackend
from stable_restyle.backends.comfy_api.client import SCHEME
from stable_restyle.backends.comfyui.backend import Access, ComfyBackend
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.backends.pool import Lease, Pool
from stable_restyle.backends.preview.engine import LOOKS, Preview
from stable_restyle.core.errors import (
    NoBackendLeft,
    RestyleError,
    ServerFault,
    WorkflowFault,
    WrongUsage,
)
from stable_restyle.core.film_threads import named
from stable_restyle.core.parallel import TICK_S

USUAL_SERVERS = ("http://127.0.0.1:8188", "http://127.0.0.1:7821")  # ComfyUI's; SwarmUI's first
DEFAULT_LOOK = "clay"
DEFAULT_SEED = 0

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


def connect(
    names: Sequence[str],
    variants: WorkflowVariants,
    access: Access,
    patience_s: float,
    lease: Lease = lambda _: nullcontext(),
) -> Pool:
    """Return the backends that --backend names, or the servers found on this machine.

    Asks each whether it can draw; those that cannot are left out for now, with a warning. Raises
    WrongUsage for a name that is no backend, WorkflowFault or NoBackendLeft if none can draw.
    """
    backends = _alike(names, variants, access)
    faults = _fit(backends)
    if not names:
        backends = [each for each in backends if not isinstance(faults[each.name], ServerFault)]
    if all(faults[backend.name] for backend in backends):
        _close(backends)
        raise _none_can_draw(faults) if names or backends else _nothing_found()
    return Pool(backends, patience_s, faults, lease)


def engine(names: Sequence[str], variants: WorkflowVariants, access: Access) -> str:
    """Return what would draw the slides, without asking any server. Raises WrongUsage."""
    backends = _alike(names, variants, access)
    _close(backends)
    return backends[0].engine


def check(
    names: Sequence[str], variants: WorkflowVariants, access: Access, size: tuple[int, int]
) -> list[BackendCheck]:
    """Check the backends that --backend names, or the usual addresses of servers.

    size: width and height of the slide that they draw.
    """
    backends = _named(names, variants, access)
    checks = _ask_all(backends, lambda backend: backend.check(size))
    _close(backends)
    return checks


def public_name(name: str) -> str:
    """Return what may be shown of a --backend, which may be a mistyped URL: no user, no query."""
    return re.sub(r"[^/]*@|[?#].*", "", name)


def _ask_all(backends: Sequence[Backend], ask: Callable[[Backend], Answer]) -> list[Answer]:
    """Ask all backends at the same time. An interrupt closes them, so that this ends soon."""
    with ThreadPoolExecutor(len(backends), named("ask")) as threads:
        pending = [threads.submit(ask, backend) for backend in backends]
        try:
            while wait(pending, TICK_S).not_done:
                pass
        except BaseException:
            _close(backends)
            raise
    return [each.result() for each in pending]


def _close(backends: Sequence[Backend]) -> None:
    """Close all of these at the same time: each may take seconds."""
    with ThreadPoolExecutor(max(len(backends), 1), named("close")) as threads:
        list(threads.map(lambda backend: backend.close(), backends))


def _alike(names: Sequence[str], variants: WorkflowVariants, access: Access) -> list[Backend]:
    """Return the backends of a run. Raises WrongUsage, also where their slides would differ."""
    backends = _named(names, variants, access)
    if len(engines := {backend.engine for backend in backends}) > 1:
        raise WrongUsage(
            f"--backend: {' and '.join(sorted(engines))} draw differently; one run cannot mix them."
        )
    return backends


def _named(names: Sequence[str], variants: WorkflowVariants, access: Access) -> list[Backend]:
    return [_backend(name, variants, access) for name in dict.fromkeys(names or USUAL_SERVERS)]


def _fit(backends: Sequence[Backend]) -> dict[str, RestyleError | None]:
    """Return what keeps each backend from drawing, by its name; None where nothing does."""
    answers = _ask_all(backends, _fit_one)
    for line in dict.fromkeys(line for added, _ in answers for line in added):
        log.warning(line)
    return {backend.name: fault for backend, (_, fault) in zip(backends, answers, strict=True)}


def _fit_one(backend: Backend) -> tuple[list[str], RestyleError | None]:
    try:
        return backend.fit(), None
    except (ServerFault, WorkflowFault) as fault:
        return [], fault


def _none_can_draw(faults: Mapping[str, RestyleError | None]) -> RestyleError:
    refusals = [fault for fault in faults.values() if isinstance(fault, WorkflowFault)]
    if refusals:
        return refusals[0]
    tried = "\n".join(f"  {name}: {fault}" for name, fault in faults.items())
    return NoBackendLeft(
        f"No backend can draw:\n{tried}\nStart one, or correct --backend; "
        "`video-restyle --check` shows details. Finished slides are kept."
    )


def _nothing_found() -> RestyleError:
    return NoBackendLeft(
        f"No ComfyUI server answers at {' or '.join(USUAL_SERVERS)}, and no backend was named.\n"
        "Do one of these:\n"
        "  start ComfyUI on this machine, and run the command again;\n"
        "  add --backend http://HOST:8188 for a server elsewhere (or set VIDEO_RESTYLE_BACKENDS);\n"
        "  add --backend preview to try the film on the embedded preview engine."
    )


def _backend(name: str, variants: WorkflowVariants, access: Access) -> Backend:
    kind, _, look = name.partition(":")
    if kind == "preview":
        workflow = variants.base
        seed = DEFAULT_SEED if workflow.seed is None else workflow.seed
        return Preview(look or workflow.preview or DEFAULT_LOOK, seed, workflow.denoise)
    if kind.lower() in ("http", "https"):
        return ComfyBackend(name, variants, access)
    if kind.lower() in (f"{SCHEME}http", f"{SCHEME}https"):
        return ComfyApiBackend(name, variants, access)
    meant = f" Did you mean http://{public_name(name)}?" if ":" in name else ""
    raise WrongUsage(
        f"--backend {public_name(name)}: there is no such backend.{meant}\n"
        f"Write preview, {', '.join(f'preview:{each}' for each in LOOKS)}, http://HOST:8188, or "
        f"{SCHEME}https://HOST for a Comfy API."
    )
