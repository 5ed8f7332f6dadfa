"""The contrastive loss of dense retrieval, and its scores across processes."""

import torch
import torch.distributed as dist
from torch import Tensor

NORMALISATIONS = ("row", "global")


def contrastive_loss(
    scores: Tensor, targets: Tensor, masked: Tensor, temperature: float, normalisation: str = "row"
) -> Tensor:
    """Mean negative log-likelihood of each query's positive among the documents of the batch (InfoNCE).

    L = mean_i -log( exp(s_it / T) / sum_j exp(s_ij / T) ), j over the documents that are not masked
    (Karpukhin et al. 2020, equation 2, with a temperature), through log-sum-exp. With `global` the sum in the
    denominator is over every query and document (Leonhardt et al. 2022, as their code computes it), of all ranks.

    Args:
        scores: Similarities, [queries, documents].
        targets: Column of each query's positive, [queries], int64.
        masked: True where a document does not count for a query, [queries, documents]; never a target.
        temperature: Divides the scores; above 0.
        normalisation: `row` or `global`.

    Returns:
        The loss, a scalar in float32 or wider.
    """
    # bf16 scores would round the differences that the loss is made of.
    logits = scores.to(torch.promote_types(scores.dtype, torch.float32)) / temperature
    logits = logits.masked_fill(masked, float("-inf"))
    if normalisation == "row":
        return torch.nn.functional.cross_entropy(logits, targets)
    denominators = gather_with_gradient(logits.logsumexp(dim=(0, 1)).reshape(1))
    return denominators.logsumexp(dim=0) - logits.gather(1, targets[:, None]).mean()


def chance_level(masked: Tensor, normalisation: str = "row") -> Tensor:
    """Give the loss of scores that are all equal, where a collapsed dual encoder's loss stays.

    ln(documents) for `row`, of this rank's queries, and ln(queries * documents) for `global`, of all ranks; masked
    documents do not count.

    Args:
        masked: As in `contrastive_loss`.
        normalisation: `row` or `global`.
    """
    counted = (~masked).sum(dim=1).double()
    if normalisation == "row":
        return counted.log().mean()
    return gather_with_gradient(counted.sum().log().reshape(1)).logsumexp(dim=0)


class _Gather(torch.autograd.Function):
    """Rows of every rank, in rank order; the gradient of a rank's rows is summed over all ranks."""

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, rows: Tensor) -> Tensor:
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        rows = len(gradient) // dist.get_world_size()
        return gradient[dist.get_rank() * rows : (dist.get_rank() + 1) * rows]


def gather_with_gradient(rows: Tensor) -> Tensor:
    """Concatenate every rank's rows in rank order, with gradients to all of them.

    Summing the gradients and averaging parameters' gradients over ranks, as DDP does, gives exactly the gradient of
    the mean loss over the whole batch.

    Args:
        rows: This rank's vectors, [rows, dimension], the same number on every rank.

    Returns:
        [ranks * rows, dimension]; `rows` itself in a single process.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    return _Gather.apply(rows)
