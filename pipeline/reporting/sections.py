"""Every section that a report may have, in its order; one small file each."""

from collections.abc import Callable

from pipeline.progress import progress
from pipeline.reporting import (
    before_and_after,
    collapse,
    cost,
    main_table,
    pretraining,
    probes,
    queries,
    speed,
    steps,
    transfer,
    what_was_run,
    withheld,
)
from pipeline.reporting.cells import Cells
from pipeline.reporting.section import Section

SECTIONS: tuple[Callable[[Cells], Section | None], ...] = (
    what_was_run.section,
    before_and_after.section,
    pretraining.section,
    withheld.section,
    main_table.section,
    steps.section,
    transfer.section,
    collapse.section,
    speed.section,
    probes.section,
    queries.section,
    cost.section,
)
"""Functions that make a section of the cells, or nothing where the cells have nothing of its kind."""


def sections_of(cells: Cells) -> list[Section]:
    """Make every section that the cells have something for."""
    sections = []
    with progress("Reporting", len(SECTIONS), "sections") as advance:
        for make in SECTIONS:
            sections.append(make(cells))
            advance(1)
    return [section for section in sections if section is not None]
