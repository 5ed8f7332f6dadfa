"""What `evaluate.py compare=[…]` does: finished folders -> report.html, report.md and tables."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from pipeline.errors import UserError
from pipeline.evaluation.results import METRICS
from pipeline.files import atomic_write, digest_of
from pipeline.reporting.cells import Cells
from pipeline.reporting.csv_table import csv_text
from pipeline.reporting.html import render_html
from pipeline.reporting.latex import latex_table
from pipeline.reporting.markdown import render_markdown
from pipeline.reporting.reading import FINDINGS, read_folders
from pipeline.reporting.section import Section
from pipeline.reporting.sections import sections_of

OTHER_WORK = ("models", "run_files", "sweep", "latency")


def report(config: DictConfig) -> Path:
    """Compare finished folders, write the report, and print its findings.

    Returns:
        The page.

    Raises:
        UserError: When the settings or the folders cannot be used.
    """
    given = _folders(config)
    cells = read_folders(given)
    out = _place(config, given)
    sections = sections_of(cells)
    write_report(out, given, cells, sections)
    for section in sections:
        for finding in section.findings:
            print(f"• {finding}")
    print(f"Written to {out} (report.html, report.md, tables).")
    return out / "report.html"


def write_report(out: Path, given: Sequence[Path], cells: Cells, sections: Sequence[Section]) -> None:
    """Write the page, the Markdown and every table; the same folders give the same bytes.

    Raises:
        UserError: When the disk is full or the folder may not be written.
    """
    title = ", ".join(cells.sweeps.get(folder.name, {}).get("name") or folder.name for folder in given)
    subtitle = _subtitle(cells)
    for table in (table for section in sections for table in section.tables):
        for ending, text in (("csv", csv_text(table)), ("tex", latex_table(table))):
            with atomic_write(out / "tables" / f"{table.name}.{ending}") as file:
                file.write(text)
    with atomic_write(out / "report.md") as file:
        file.write(render_markdown(title, subtitle, sections))
    with atomic_write(out / "report.html") as file:
        file.write(render_html(title, subtitle, ", ".join(folder.name for folder in given), sections))


def _folders(config: DictConfig) -> list[Path]:
    """Read what is to be compared, and refuse settings that mean other work."""
    if not OmegaConf.is_list(config.compare):
        raise UserError(f"compare={config.compare} must be a list of folders; write compare=[{config.compare}].")
    if not config.compare:
        raise UserError("compare=[] names no folder; give run folders, or the folder that a sweep wrote into.")
    for setting in OTHER_WORK:
        if config[setting]:
            raise UserError(f"compare=[…] reads finished folders and takes no {setting}; leave {setting} out.")
    return [Path(str(folder)) for folder in config.compare]


def _place(config: DictConfig, given: Sequence[Path]) -> Path:
    """Decide where the report goes: what is asked for, the one sweep's own folder, or a place named by the folders."""
    if config.folder is not None:
        out = Path(config.folder)
        if out.exists() and not out.is_dir():
            raise UserError(f"folder={out} is a file; give a folder.")
        return out
    if len(given) == 1 and not any((given[0] / name).exists() for name in (METRICS, FINDINGS)):
        return given[0]
    return Path("outputs") / f"compare-{digest_of([str(folder) for folder in given])[:8]}"


def _subtitle(cells: Cells) -> str:
    """Say how much there is, and how old its newest part is."""
    counts = {
        "run": sum(bool(cell.training) for cell in cells),
        "evaluation": sum(not cell.training for cell in cells),
        "masked-LM run": len(cells.masked),
        "probe": len(cells.probes),
    }
    said = [f"{count} {what}{'s' if count > 1 else ''}" for what, count in counts.items() if count]
    missing = f" ({len(cells.absent)} without figures)" if cells.absent else ""
    return f"{', '.join(said)}{missing}. Newest: {_newest(cells)}."


def _newest(cells: Cells) -> str:
    """Give the day of the newest folder; today's would make another file of the same folders."""
    folders = [cell.folder for cell in cells] + [run.folder for run in cells.masked]
    marks = [folder / METRICS for folder in folders] + [probe.folder / FINDINGS for probe in cells.probes]
    days = [datetime.fromtimestamp(mark.stat().st_mtime, UTC).date().isoformat() for mark in marks]
    started = {cell.folder: str(cell.record.started)[:10] for cell in cells if cell.record}
    return max(started.get(mark.parent, day) for mark, day in zip(marks, days, strict=True))
