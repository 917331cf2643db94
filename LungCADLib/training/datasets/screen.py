"""A bar for what takes long, where a person sits at a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from LungCADLib.progress import Progress, Step


@contextmanager
def moving(stage: str) -> Iterator[Progress]:
    """Progress of one stage, shown on standard error; Ctrl-C stops at the next step, as everywhere."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(stage, total=1.0)

        def report(step: Step) -> None:
            bar.update(task, completed=step.fraction, description=step.message or stage)

        progress = Progress(report=report, shares={stage: 1.0})
        with progress.stage(stage):
            yield progress
