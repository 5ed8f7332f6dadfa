"""BERT's pooler: the tanh layer over the state of [CLS] that next-sentence prediction trained; no vector goes through it."""

import re
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.projection import Projection
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.encoders.weight_files import as_safetensors
from pipeline.errors import UserError

WANTED = re.compile(r"^(?:bert\.)?(?:pooler\.dense\.(weight|bias)|encoder\.layer\.(\d+)\.output\.dense\.weight)$")
"""The pooler's parts, and in every block what tells whose pooler it is."""


def read_pooler(tower: TransformerTower, name: str) -> Projection:
    """Read the pooler beside the very weights that a tower has.

    Args:
        tower: A BERT.
        name: What messages call the model.

    Raises:
        UserError: When the tower is not read at [CLS], the checkpoint has no pooler, or the tower has other weights or
            fewer layers than it.
    """
    if tower.pooling.name != "cls":
        raise UserError(
            f"models.{name} is read by pooling={tower.pooling.name}, and a pooler reads [CLS]; give"
            f" models.{name}.pooling=cls, or another probe.target."
        )
    folder = Path(tower.backbone.name_or_path or "")
    pooler, last = _read(folder)
    own = feed_forwards(tower.backbone)[-1].weight("outer").detach()
    has_one = len(pooler) == 2 and bool(pooler["weight"].any())  # a saved tower has zeros in the unused one's place
    if not has_one or last is None or not torch.equal(last, own):
        lacks = f"{folder} has no pooler weights" if not has_one else f"its weights are not those of {folder}"
        raise UserError(
            f"models.{name}: {lacks}, and the norm after the pooler is what is explained of a BERT under"
            " protocol=published and probe.target=pooler_norm; give a whole BERT with its pooler, or protocol=sound."
        )
    found = Projection(own.shape[0], own.shape[0], activation="torch.nn.modules.activation.Tanh")
    found.linear.load_state_dict(pooler)
    return found.requires_grad_(False)


def _read(folder: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    """Read the pooler of a checkpoint and the second feed-forward weight of its last block."""
    pooler: dict[str, Tensor] = {}
    blocks: dict[int, Tensor] = {}
    with as_safetensors(folder) as place:
        for shard in sorted(place.glob("model*.safetensors")):
            with safe_open(shard, "pt") as file:
                for key in file.keys():  # noqa: SIM118 - no mapping
                    match = WANTED.match(key)
                    if match and match[1]:
                        pooler[match[1]] = file.get_tensor(key).float()
                    elif match:
                        blocks[int(match[2])] = file.get_tensor(key).float()
    return pooler, blocks[max(blocks)] if blocks else None
