"""What attribution hands back: tables, pictures and sentences."""

from collections.abc import Sequence

from pipeline.probing.attribution import tables
from pipeline.probing.attribution.findings import findings
from pipeline.probing.attribution.method import Method
from pipeline.probing.attribution.pictures import pictures
from pipeline.probing.attribution.results import Compared, Results
from pipeline.probing.outcome import Outcome


def report(found: Sequence[Compared], method: Method, departures: Sequence[str], seed: int) -> Outcome:
    """Write out what was found; see `Results` and, for departures from the published procedure, `findings`."""
    results = Results(found, method, seed)
    sweep = tables.sweep(results)
    laid_out = {
        "layers": tables.layers(results),
        "neurons": tables.neurons(results),
        "distribution": tables.distribution(results),
        "thresholds": sweep,
    }
    if len(found[0].activities) > 1:
        laid_out["changes"] = tables.changes_by_layer(results)
    incomplete = tables.incomplete(results)
    if incomplete:
        laid_out["incomplete"] = incomplete
    shares = {
        (activity.kind, name, activity.model): results.shares(activity, name) for activity, name in results.each()
    }
    return Outcome(
        tables.summary(results), laid_out, findings(results, departures), pictures(shares, sweep, method.threshold)
    )
