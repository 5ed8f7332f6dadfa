"""Every section that a report may have, in its order; one small file each."""

from collections.abc import Callable

from pipeline.reporting import what_was_run
from pipeline.reporting.cells import Cells
from pipeline.reporting.section import Section

SECTIONS: tuple[Callable[[Cells], Section | None], ...] = (what_was_run.section,)
"""Functions that make a section of the cells, or nothing where the cells have nothing of its kind."""


def sections_of(cells: Cells) -> list[Section]:
    """Make every section that the cells have something for."""
    return [section for make in SECTIONS if (section := make(cells)) is not None]
