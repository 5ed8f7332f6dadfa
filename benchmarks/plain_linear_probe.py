"""The first paper's linear probe as its procedure is written: one at a time, over whole rows [q; p_1; ...; p_N]."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LEARNING_RATE = 1e-4
BATCH = 32768


def whole_rows(queries: np.ndarray, documents: np.ndarray, question_of: np.ndarray, shown: np.ndarray) -> torch.Tensor:
    """Put the states of every row's question and candidates side by side, [rows, (N + 1) * width]."""
    parts = [queries[question_of], *(documents[shown[:, place]] for place in range(shown.shape[1]))]
    return torch.from_numpy(np.concatenate(parts, axis=1))


def train_one(
    inputs: torch.Tensor,
    classes: torch.Tensor,
    validation: torch.Tensor,
    validation_classes: torch.Tensor,
    epochs: int,
    learning_rate: float = LEARNING_RATE,
    seed: int = 42,
) -> nn.Linear:
    """Train one probe, and give it as it was after its best epoch on the validation rows.

    Args:
        inputs: Whole rows, [rows, (N + 1) * width].
        classes: The place of the positive, [rows].
        validation: Whole rows.
        validation_classes: Their classes.
        epochs: All are trained.
        learning_rate: Of Adam.
        seed: Of the first weights and the order of rows.
    """
    torch.manual_seed(seed)
    layer = nn.Linear(inputs.shape[1], int(classes.max()) + 1)
    optimiser = torch.optim.Adam(layer.parameters(), lr=learning_rate)
    best, kept = -1.0, {name: value.clone() for name, value in layer.state_dict().items()}
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(layer(inputs[rows]), classes[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            reached = (layer(validation).argmax(dim=1) == validation_classes).float().mean().item()
        if reached > best:
            best, kept = reached, {name: value.clone() for name, value in layer.state_dict().items()}
    layer.load_state_dict(kept)
    return layer
