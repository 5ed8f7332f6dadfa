"""Which steps of a training are given, and which part of each batch."""

from typing import Self

from pipeline.errors import UserError


class StepRange:
    """What batches are a function of beside their texts and seed: steps from one to another, and a place among ranks.

    Args:
        batch_size: Of a step, over all ranks.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.first_step = self.last_step = self.rank = 0
        self.ranks = 1

    def between(self, first_step: int, last_step: int, rank: int = 0, ranks: int = 1) -> Self:
        """Set the steps to give, and which part of each batch.

        Raises:
            UserError: When a batch cannot be divided evenly among the ranks.
        """
        if self.batch_size % ranks:
            raise UserError(
                f"stage.batch_size={self.batch_size} cannot be divided among {ranks} processes; "
                f"give a multiple of {ranks}, or set trainer.devices."
            )
        self.first_step, self.last_step, self.rank, self.ranks = first_step, last_step, rank, ranks
        return self
