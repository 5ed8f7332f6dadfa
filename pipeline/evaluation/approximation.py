"""How a table says that a system's index is approximate, and how much of exact search it found."""

from collections.abc import Mapping
from typing import Any


def recall_of(details: Mapping[str, Any]) -> dict[str, float]:
    """Give the share of exact search's results that a system found, by how many: `recall@1000`; empty where it is exact.

    Args:
        details: What `metrics.json` says of the system.
    """
    return {f"recall@{depth}": share for depth, share in details.get("approximate", {}).get("recall", {}).items()}


def beside_the_name(details: Mapping[str, Any]) -> str:
    """Say in a few words what stands beside the figures of an approximate index."""
    recall = ", ".join(f"{at} {share:.3f}" for at, share in recall_of(details).items())
    return f" (of exact search: {recall})" if recall else ""


def approximation_words(details: Mapping[str, Any]) -> list[str]:
    """Say all that is known of how approximate a search was, in sentences; none where it is exact."""
    if not (recall := recall_of(details)):
        return []
    found = details["approximate"]
    set_to = "".join(f", {name}={value}" for name, value in found["parameters"].items())
    shares = " and ".join(f"{at} {share:.4f}" for at, share in recall.items())
    sentences = [
        f"{details['index']}{set_to}, is approximate: of what exact search finds it finds {shares}"
        f" ({found['sampled_queries']:,} queries sampled)."
    ]
    if found["short_lists"]:
        wanted = int(list(found["recall"])[-1])
        sentences.append(f"queries with fewer than the {wanted:,} results asked for: {found['short_lists']:,}.")
    return sentences + [f"{sentence}." for sentence in found["shortcomings"]]
