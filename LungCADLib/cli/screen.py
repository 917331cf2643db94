"""What a person sees in the terminal: progress while it runs, the nodules when it is done.

Results go to standard output, everything else to standard error, so that `lungcad ... --json | jq` works.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from LungCADLib.progress import Step
from LungCADLib.study import Nodule, Risk, Study

# A file or a pipe has no width of its own; this one holds the table of nodules without folding its words.
_WIDTH_OF_A_FILE = 120
_BROCK = "brock_2b"


def output() -> Console:
    """Standard output: for results."""
    return _console(stderr=False)


def messages() -> Console:
    """Standard error: for progress, timing and everything that is not the result."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    if hasattr(stream, "reconfigure"):
        # A terminal that cannot show mm³ shows a question mark; the run does not fail for it.
        stream.reconfigure(errors="replace")
    width = None if stream.isatty() else _WIDTH_OF_A_FILE
    return Console(stderr=stderr, width=width, markup=False, highlight=False, soft_wrap=not stream.isatty())


@contextmanager
def following(console: Console) -> Iterator[Callable[[Step], None]]:
    """Shows the steps of a run: a moving bar in a terminal, one line per stage anywhere else."""
    if not console.is_terminal:
        seen: list[str] = []

        def line(step: Step) -> None:
            if step.stage and step.stage not in seen:
                seen.append(step.stage)
                console.print(f"{step.fraction:4.0%} {step.stage}")

        yield line
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def move(step: Step) -> None:
            what = f"{step.stage}: {step.message}" if step.message else step.stage
            bar.update(task, completed=step.fraction, description=what)

        yield move


def show_study(study: Study, console: Console) -> None:
    """The nodules as a table, what the guidelines say about the exam, and what to be careful about."""
    lungs = study.lungs
    console.print(f"Lungs: {lungs.volume_ml / 1000:.1f} l, outline {lungs.verdict.status}")
    for reason in lungs.verdict.reasons:
        console.print(f"  {reason}")
    if study.nodules:
        console.print(_nodule_table(study.nodules))
        for note in _notes(study.nodules):
            console.print(note)
    else:
        console.print("No nodule found at these settings.")
    for advice in (study.exam.lung_rads, study.exam.fleischner, study.exam.bts):
        console.print(f"{advice.guideline}: {advice.category}. {advice.management}")
    for warning in study.warnings:
        console.print(f"Warning: {warning}", style="yellow")
    console.print("For research; not a medical device.", style="dim")


def _nodule_table(nodules: Sequence[Nodule]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    # In 80 columns the place folds; a number never does, nor is it cut.
    table.add_column("ID", no_wrap=True)
    table.add_column("Place", min_width=8)
    table.add_column("Type", min_width=len("part-solid"), overflow="fold")
    for name in ("Mean\n⌀ mm", "Volume\nmm³", "Suspi-\ncion", "Brock\nrisk", "Lung-\nRADS", "Score"):
        table.add_column(name, justify="right", no_wrap=True)
    for nodule in nodules:
        table.add_row(
            nodule.id,
            nodule.location.description,
            nodule.density,
            f"{nodule.mean_diameter_mm:.1f}",
            f"{nodule.volume_mm3:.0f}",
            f"{nodule.suspicion.value:.2f}" if nodule.suspicion else "-",
            _percent(nodule.risk.get(_BROCK)),
            nodule.lung_rads.category if nodule.lung_rads else "-",
            f"{nodule.score:.2f}",
        )
    return table


def _percent(risk: Risk | None) -> str:
    if risk is None or risk.value is None:
        return "-"
    text = f"{_short(100 * risk.value)}%"
    if risk.assumed and risk.low is not None and risk.high is not None:
        text += f" ({_short(100 * risk.low)}-{_short(100 * risk.high)})"
    return text


def _short(percent: float) -> str:
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.1f}"


def _notes(nodules: Sequence[Nodule]) -> Iterator[str]:
    """What the numbers in the table mean, once each."""
    opinions = {nodule.suspicion.meaning: nodule.suspicion for nodule in nodules if nodule.suspicion}
    for opinion in opinions.values():
        yield f"Suspicion ({opinion.model} {opinion.version}): {opinion.meaning}. Tested: {opinion.tested}"
    risks = [nodule.risk[_BROCK] for nodule in nodules if _BROCK in nodule.risk]
    assumed = list(dict.fromkeys(name for risk in risks for name in risk.assumed))
    if assumed:
        yield f"Brock risk is a range over what nobody entered: {', '.join(assumed)}."
    for note in dict.fromkeys(risk.note for risk in risks if risk.value is None and risk.note):
        yield f"No Brock risk: {note}"


def show_profile(timing_s: dict[str, float], total_s: float, peak_mb: float | None, console: Console) -> None:
    """Seconds by stage, the whole command's with its imports and pauses between stages, and the most memory held."""
    table = Table("Stage", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Seconds", justify="right")
    table.add_column("Share", justify="right")
    for stage, seconds in timing_s.items():
        table.add_row(stage, f"{seconds:.2f}", f"{seconds / total_s:.0%}")
    table.add_row("all", f"{total_s:.2f}", "")
    console.print(table)
    if peak_mb is not None:
        console.print(f"Peak memory: {peak_mb:.0f} MB")
