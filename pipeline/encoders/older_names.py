"""What version 4 of transformers calls the settings of rotary positions, which version 5 writes under one name.

Version 4 does not know that name and would take its own defaults, which gives other vectors without a word. Version 5 reads
both.
"""

from typing import Any

WHOLE, NEAR = "full_attention", "sliding_attention"
"""Models with two kinds of layers have settings for each, under these names."""

BASE, NEAR_BASE, SHARE = "rope_theta", "rope_local_base_freq", "partial_rotary_factor"
RENAMED = {
    "gpt_neox": {BASE: "rotary_emb_base", SHARE: "rotary_pct"},
    "modernbert": {BASE: "global_rope_theta", NEAR_BASE: "local_rope_theta"},
    "modernbert-decoder": {BASE: "global_rope_theta", NEAR_BASE: "local_rope_theta"},
}
"""Architectures with names of their own."""


def with_older_names(config: dict[str, Any]) -> dict[str, Any]:
    """Add to a config, as version 5 writes it, what version 4 looks for."""
    rotary = config.get("rope_parameters")
    if not rotary:
        return config
    whole = rotary.get(WHOLE, rotary)
    said = {name: whole[name] for name in (BASE, SHARE) if name in whole}
    if NEAR in rotary:
        said[NEAR_BASE] = rotary[NEAR][BASE]
    renamed = RENAMED.get(config["model_type"], {})
    older = {renamed.get(name, name): value for name, value in said.items()}
    if whole.get("rope_type", "default") != "default":
        older["rope_scaling"] = {name: value for name, value in whole.items() if name not in said}
    return config | older
