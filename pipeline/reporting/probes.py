"""What probes found: their findings, summaries, curves and heat maps."""

from io import BytesIO
from pathlib import Path

from PIL import Image

from pipeline.reporting.cells import Cells, Probe
from pipeline.reporting.section import Picture, Section, Table

WIDEST = 1_100
"""Pixels; as wide as the page is on a fine screen."""
COLOURS = 64
MOST_BYTES = 2_500_000
"""Of all pictures together; the page stays below 5 MB with them as text."""
MOST_ROWS = 200


def section(cells: Cells) -> Section | None:
    """Show every probe folder's findings, summary and pictures."""
    if not cells.probes:
        return None
    pictures, left_out, unreadable, taken = [], [], [], 0
    for probe in cells.probes:
        for path in probe.pictures:
            content = _small(path)
            if content is None:
                unreadable.append(f"{probe.name}/{path.name}")
                continue
            if taken + len(content) > MOST_BYTES:
                left_out.append(f"{probe.name}/{path.name}")
                continue
            taken += len(content)
            pictures.append(Picture(f"{probe.name}: {path.stem.replace('_', ' ')}", content))
    findings = [f"{probe.title}: {finding}" for probe in cells.probes for finding in probe.findings]
    reasons = {"Pictures left out for their size": left_out, "Pictures that cannot be read": unreadable}
    skipped = [f"{reason}: {', '.join(names)}." for reason, names in reasons.items() if names]
    tables = [_table(probe, number) for number, probe in enumerate(cells.probes, start=1) if probe.summary]
    return Section("Probes", tables=tables, pictures=pictures, notes=[*findings, *skipped])


def _table(probe: Probe, number: int) -> Table:
    note = f"The first {MOST_ROWS} of {len(probe.summary):,} rows." if len(probe.summary) > MOST_ROWS else ""
    rows = [{column: _read(value) for column, value in row.items()} for row in probe.summary[:MOST_ROWS]]
    return Table(f"probe-{number}", probe.title, rows, note)


def _read(value: str) -> str | int | float | None:
    """Read a cell of a CSV file as the number that it holds, if any."""
    if not value:
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _small(path: Path) -> bytes | None:
    """Make a picture no wider than it is shown, in as few colours as a plot has; None where it cannot be read."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's, of cut and broken files
        return None
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    written = BytesIO()
    picture.quantize(COLOURS).save(written, "PNG", optimize=True)
    return written.getvalue()
