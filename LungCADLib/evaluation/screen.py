"""Tables of an evaluation on the screen, or in a file as wide as a page."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PAGE_WIDTH = 140


def page() -> "Console":
    """A console that does not read brackets as markup, and has the width of a page where there is no terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PAGE_WIDTH
    return console


def show_table(console: "Console", title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a titled table without lines."""
    from rich.table import Table

    console.print(title)
    shown = Table(box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column)
    for row in rows:
        shown.add_row(*row)
    console.print(shown, "")
