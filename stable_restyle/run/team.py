"""Choose what draws a run: the backends of this machine, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Protocol

from stable_restyle.backends import connect
from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.backends.pool import Pool
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.records import Step
from stable_restyle.core.settings import Settings
from stable_restyle.drawing.executor import Failure, MoreSteps
from stable_restyle.drawing.session import DrawingSession, DrawingSpec, OnSaved
from stable_restyle.workdir.layout import RunPaths

if TYPE_CHECKING:
    from stable_restyle.cluster.scheduler import DaskCluster


class Team(Protocol):
    """The backends of a run: those of this machine, or of a cluster."""

    def meet(self) -> tuple[str, dict[str, str]]:
        """Return the engine, and the description of each backend by name. Raises RestyleError."""
        ...

    def draw(
        self,
        spec: DrawingSpec,
        steps: Sequence[Step],
        kept: Collection[int],
        on_saved: OnSaved,
        tick: Callable[[int], None],
        more: MoreSteps | None,
    ) -> list[Failure]:
        """Draw as `DrawingSession.draw` does. on_saved: called for every slide that is saved."""
        ...


@dataclass(frozen=True)
class _Alone:
    """The backends of this machine."""

    pool: Pool
    dry: Event | None

    def meet(self) -> tuple[str, dict[str, str]]:
        return self.pool.engine, self.pool.about

    def draw(
        self,
        spec: DrawingSpec,
        steps: Sequence[Step],
        kept: Collection[int],
        on_saved: OnSaved,
        tick: Callable[[int], None],
        more: MoreSteps | None,
    ) -> list[Failure]:
        return DrawingSession(spec, self.pool, on_saved, dry=self.dry).draw(steps, kept, tick, more)


@contextmanager
def choose_team(
    settings: Settings,
    variants: WorkflowVariants,
    access: Access,
    paths: RunPaths,
    cluster: DaskCluster | None,
    dry: Event | None = None,
    *,
    model: bool = True,
) -> Iterator[Team]:
    """Yield the backends of a run. cluster: of the batch, otherwise it is connected here.

    dry: set while less is left to draw than the backends of this machine take.
    model: whether anything may be drawn; otherwise slides are only filled and composed, and no
    server is connected.
    """
    backends = settings.backends if model else ("preview",)  # which does nothing
    given = backends, variants, access, patience_s(settings)
    with ExitStack() as stack:
        if settings.dask:
            cluster = cluster or stack.enter_context(reach(settings))
            from stable_restyle.cluster import client  # needs Dask, as `reach` has checked

            yield stack.enter_context(client.open_run(cluster, *given, paths))
        else:
            yield _Alone(stack.enter_context(connect.connect(*given)), dry)


@contextmanager
def reach(settings: Settings) -> Iterator[DaskCluster]:
    """Yield the cluster of --dask. Raises WrongUsage, NoBackendLeft."""
    try:
        from stable_restyle.cluster import scheduler
    except ImportError as error:
        raise WrongUsage(
            f"--dask needs Dask, which is not installed ({error}).\n"
            "In the folder of stable-restyle, run `pip install '.[dask]'`."
        ) from error
    with scheduler.connect(settings.dask, patience_s(settings)) as cluster:
        yield cluster


def patience_s(settings: Settings) -> float:
    return 60 * settings.patience_min
