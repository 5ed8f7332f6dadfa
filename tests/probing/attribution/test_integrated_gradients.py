"""Scaling outputs against scaling weights, completeness, batches, planted neurons; and no weight is touched."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertModel

from benchmarks.published_attribution import published
from pipeline.encoders.backbones import Bert, Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.pooling import pooling_named
from pipeline.encoders.projection import Projection
from pipeline.errors import UserError
from pipeline.probing.attribution.integrated_gradients import TOKEN_BUDGET, Attribution, Attributor
from pipeline.probing.attribution.pooler import read_pooler
from pipeline.probing.attribution.quadrature import Adaptive, GaussLegendre, Published
from pipeline.probing.attribution.targets import Along, Norm, PoolerNorm, Target
from tests.encoders.conftest import TEXTS, bare_bert_folder, bert_folder, llama_folder  # noqa: F401


def attribute(tower, token_ids, *, quadrature, target, token_budget=TOKEN_BUDGET, advance=None) -> Attribution:
    """Make a tower ready and attribute once."""
    return Attributor(tower, torch.device("cpu"), token_budget).attribute(token_ids, quadrature, target, advance)


def opened(folder, pooling: str = "mean", dtype: torch.dtype = torch.float64):
    tower = Parts(Local(str(folder)), pooling_named(pooling), EncoderSettings(), 0).tower("document")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in tower.backbone.named_parameters():
            if "norm" in name.lower() and value.ndim == 1:  # with weights of 1 the norm of one token would be constant
                value.mul_(1 + torch.rand(value.shape, generator=generator))
            if any(part in name for part in ("query", "key", "q_proj", "k_proj")):  # drawn large, attention would jump
                value.mul_(0.2)
    if dtype == torch.float64:
        in_double_precision(tower.backbone)
    return tower.eval().to(dtype)


def in_double_precision(backbone) -> None:
    """Exchange Llama's normalisations, which compute in float32 whatever they are given."""
    for module in list(backbone.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "LlamaRMSNorm":
                norm = nn.RMSNorm(child.weight.shape[0], eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(module, name, norm)


@pytest.fixture(params=["bert", "llama"])
def folder(request):
    return request.getfixturevalue(f"{request.param}_folder")


class Fixed(Target):
    """Any function of the pooled states, in closed form."""

    def __init__(self, function):
        self.function = function

    def __call__(self, pooled, finish, texts):
        return self.function(pooled)


def last_outer_bare(tower) -> None:
    """Take away what stands between a BERT's last outer sub-layer and its states, so that these are linear in it."""
    tower.backbone.encoder.layer[-1].output.LayerNorm = nn.Identity()


def linear_parts(tower, text):
    """The last outer sub-layer's input and output, and the residual, over one text."""
    seen = {}
    output = tower.backbone.encoder.layer[-1].output
    handles = [output.dense.register_forward_hook(lambda m, a, z: seen.update(x=a[0], z=z))]
    handles += [output.register_forward_hook(lambda m, a, z: seen.update(residual=a[1]))]
    with torch.no_grad():
        tower.backbone(**tower.pad([text]))
    for handle in handles:
        handle.remove()
    return seen["x"][0], seen["z"][0], seen["residual"][0]


def test_a_linear_target_is_attributed_exactly_by_any_rule(bert_folder):  # noqa: F811
    tower = opened(bert_folder)
    last_outer_bare(tower)
    text = tower.token_ids(TEXTS, "document")[2]
    direction = torch.arange(16.0, dtype=torch.float64)
    x, _, _ = linear_parts(tower, text)
    weight = feed_forwards(tower.backbone)[-1].outer.weight.detach()
    expected = (weight * direction[:, None] * x.mean(dim=0)).abs().sum(dim=1).numpy()
    for rule in (Published(2), Published(), GaussLegendre(1)):
        found = attribute(tower, [text], quadrature=rule, target=Fixed(lambda pooled: pooled @ direction))
        assert np.allclose(found.outer[0, -1], expected, rtol=1e-6)
        assert found.gap[0, -1, 1] < 1e-5


def bare_path(plain, direction):
    """A tower whose last outer sub-layer is linear, its text, and c and e of pooled . direction = c + a e along its path.

    The last is |W * direction x|, which times the mean gradient of the target along the direction is the attribution.
    """
    tower = opened(plain)
    last_outer_bare(tower)
    text = tower.token_ids(TEXTS, "document")[2]
    x, z, residual = (part.mean(dim=0) for part in linear_parts(tower, text))
    weight = feed_forwards(tower.backbone)[-1].outer.weight.detach()
    sizes = (weight * direction[:, None] * x).abs().sum(dim=1).numpy()
    return tower, text, float(residual @ direction), float(z @ direction), sizes


def test_a_cubic_target_has_the_published_sums_own_error_and_gausss_none(bert_folder):  # noqa: F811
    direction = torch.arange(16.0, dtype=torch.float64)
    tower, text, c, e, sizes = bare_path(bert_folder, direction)
    target = Fixed(lambda pooled: (pooled @ direction) ** 3)
    # dP/dz is 3 (c + a e)^2 along the direction, and its mean over the path c^2 + c e + e^2 / 3; the published sum's is
    # the mean over k / 19, k = 0 to 19.
    places = np.arange(20) / 19
    for rule, mean in ((GaussLegendre(2), c**2 + c * e + e**2 / 3), (Published(), np.mean((c + places * e) ** 2))):
        found = attribute(tower, [text], quadrature=rule, target=target)
        assert np.allclose(found.outer[0, -1], sizes * abs(3 * mean), rtol=1e-5), rule
        assert found.difference[0, -1, 1] == pytest.approx((c + e) ** 3 - c**3, rel=1e-6)
        assert found.total[0, -1, 1] == pytest.approx(3 * mean * e, rel=1e-5)


@pytest.mark.parametrize("steepness", [1, 30, 3000])
def test_a_step_anywhere_is_integrated_as_in_closed_form(bert_folder, steepness):  # noqa: F811
    direction = torch.arange(16.0, dtype=torch.float64)
    tower, text, c, e, sizes = bare_path(bert_folder, direction)
    middle = c + 0.3 * e  # of the step
    target = Fixed(lambda pooled: torch.atan(steepness * (pooled @ direction - middle) / abs(e)))
    rise = np.arctan(0.7 * steepness) + np.arctan(0.3 * steepness)
    found = attribute(tower, [text], quadrature=Adaptive(), target=target)
    assert abs(found.difference[0, -1, 1]) == pytest.approx(rise, rel=1e-6)
    assert np.allclose(found.outer[0, -1], sizes * rise / abs(e), rtol=0.02)
    assert found.gap[0, -1, 1] <= 0.02
    if steepness == 3000:
        assert attribute(tower, [text], quadrature=GaussLegendre(96), target=target).gap[0, -1, 1] > 0.02
        short = attribute(tower, [text], quadrature=Adaptive(most_points=40), target=target)
        assert short.gap[0, -1, 1] > 0.02
        assert 6 < short.points[0, -1, 1] <= 40


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_scaling_outputs_is_scaling_weights_also_beside_padding(folder, pooling):
    tower = opened(folder, pooling)
    ids = tower.token_ids(TEXTS, "document")
    found = attribute(tower, ids, quadrature=Published(3), target=Norm())
    for text, tokens in enumerate(ids[:3]):
        _same(found, text, published(tower.backbone, tokens, pooling, steps=3), 1e-6)


def test_berts_pooler_is_published_berts_target(bare_bert_folder):  # noqa: F811
    tower = Parts(Bert(str(bare_bert_folder)), pooling_named("cls"), EncoderSettings(), 0).tower("query")
    ids = tower.token_ids(TEXTS[:2], "query")
    found = attribute(tower, ids, quadrature=Published(), target=PoolerNorm(read_pooler(tower, "base")))
    model = BertModel.from_pretrained(bare_bert_folder)
    for text, tokens in enumerate(ids):
        _same(found, text, published(model, tokens, "pooler"), 1e-5)


def _same(found: Attribution, text: int, expected: list[torch.Tensor], tolerance: float) -> None:
    for place, theirs in enumerate(part.detach().numpy() for part in expected):
        mine = (found.inner, found.outer)[place % 2][text, place // 2]
        assert np.abs(mine - theirs).max() <= tolerance * theirs.max() + 1e-12, (text, place)


def test_a_pooler_that_is_not_the_towers_own_is_refused(bare_bert_folder, bert_folder, tmp_path):  # noqa: F811
    def tower(pooling: str = "cls", **settings):
        return Parts(Bert(**settings), pooling_named(pooling), EncoderSettings(), 0).tower("query")

    tower(path=str(bare_bert_folder)).save(tmp_path / "saved", "")
    for built, said in (
        (tower(path=str(bert_folder)), "has no pooler weights"),
        (tower(path=str(tmp_path / "saved")), "has no pooler weights"),  # but zeros, which no vector goes through
        (tower(path=str(bare_bert_folder), init="random"), "its weights are not those of"),
        (tower(path=str(bare_bert_folder), layers=2), "its weights are not those of"),
        (tower("mean", path=str(bare_bert_folder)), "is read by pooling=mean"),
    ):
        with pytest.raises(UserError, match=said):
            read_pooler(built, "base")


def test_padding_on_the_left_changes_nothing(llama_folder):  # noqa: F811
    tower = opened(llama_folder, "last")
    ids = tower.token_ids(TEXTS, "document")
    right = attribute(tower, ids, quadrature=GaussLegendre(3), target=Norm())
    tower.tokenizer.padding_side = "left"
    left = attribute(tower, ids, quadrature=GaussLegendre(3), target=Norm())
    assert np.allclose(right.inner, left.inner, rtol=1e-5, atol=1e-7)
    assert np.allclose(right.outer, left.outer, rtol=1e-5, atol=1e-7)


def test_many_points_make_attributions_complete(folder):
    tower = opened(folder)
    ids = [tower.token_ids(TEXTS, "document")[1]]
    few = attribute(tower, ids, quadrature=Published(), target=Norm())
    many = attribute(tower, ids, quadrature=GaussLegendre(256), target=Norm())
    assert np.abs(many.total - many.difference).max() < 2e-5
    assert np.abs(few.total - few.difference).max() > 1e-3


def test_an_adaptive_rule_resolves_a_massive_first_state_where_fixed_points_do_not(llama_folder):  # noqa: F811
    tower = opened(llama_folder)
    with torch.no_grad():
        feed_forwards(tower.backbone)[1].outer.weight.mul_(3000)  # as in real Llamas, near a = 0.001 everything turns
    ids = tower.token_ids(TEXTS, "document")[:2]
    done = []
    found = attribute(tower, ids, quadrature=Adaptive(), target=Norm(), advance=done.append)
    assert sum(done) == len(ids)
    assert found.gap.max() <= 0.02
    assert found.points.min() == 6  # where that is enough
    assert attribute(tower, ids, quadrature=GaussLegendre(6), target=Norm()).gap[:, 1].min() > 0.2
    dense = attribute(tower, ids, quadrature=GaussLegendre(1500), target=Norm())
    assert dense.gap.max() < 1e-3
    for name in ("inner", "outer"):
        mine, theirs = getattr(found, name), getattr(dense, name)
        error = np.linalg.norm(mine - theirs, axis=2) / np.linalg.norm(theirs, axis=2)
        assert error.max() < 0.05, (name, error)


def test_a_batch_says_what_texts_one_by_one_say(folder):
    tower = opened(folder, dtype=torch.float32)
    ids = tower.token_ids(TEXTS, "document")
    together = attribute(tower, ids, quadrature=GaussLegendre(4), target=Norm())
    for budget in (4096, 16):  # 16 tokens hold but one point of one text: the path itself is divided
        for text, tokens in enumerate(ids):
            alone = attribute(tower, [tokens], quadrature=GaussLegendre(4), target=Norm(), token_budget=budget)
            assert np.allclose(alone.inner[0], together.inner[text], rtol=1e-4, atol=1e-6)
            assert np.allclose(alone.outer[0], together.outer[text], rtol=1e-4, atol=1e-6)
            assert np.allclose(alone.difference[0], together.difference[text], atol=1e-5)


def test_a_planted_neuron_is_found(folder):
    tower = opened(folder)
    layer, neuron = 2, 7
    part = feed_forwards(tower.backbone)[layer]
    with torch.no_grad():
        part.outer.weight.mul_(0.01)
        part.outer.weight[:, neuron] = torch.linspace(-40, 40, 16, dtype=torch.float64)
    found = attribute(tower, tower.token_ids(TEXTS, "document"), quadrature=GaussLegendre(8), target=Norm())
    assert (found.inner[:, layer].argmax(axis=1) == neuron).all()


def test_weights_and_later_vectors_are_bit_equal(folder):
    tower = opened(folder, dtype=torch.float32)
    ids = tower.token_ids(TEXTS, "document")
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    wishes = {name: value.requires_grad for name, value in tower.named_parameters()}
    with torch.no_grad():
        vectors = tower(tower.pad(ids))
        attribute(tower.train(), ids, quadrature=Published(3), target=Norm())
        assert tower.training
        assert torch.equal(tower.eval()(tower.pad(ids)), vectors)
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert {name: value.requires_grad for name, value in tower.named_parameters()} == wishes
    assert all(value.grad is None for value in tower.parameters())


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_score_and_margin_go_through_projection_and_normalisation(bert_folder, similarity):  # noqa: F811
    tower = opened(bert_folder)
    tower.similarity = similarity
    tower.projections.append(Projection(16, 8).double())
    ids = tower.token_ids(TEXTS, "document")
    with torch.no_grad():
        vectors = tower(tower.pad(ids)).numpy()
    positives, negatives = vectors[::-1], np.roll(vectors, 1, axis=0)
    along = {
        name: attribute(tower, ids, quadrature=GaussLegendre(32), target=Along(directions))
        for name, directions in (("score", positives), ("margin", positives - negatives), ("less", -negatives))
    }
    expected = (vectors * (positives - negatives)).sum(axis=1)
    assert np.allclose(along["margin"].value, expected, atol=1e-6)
    assert np.abs(along["margin"].total - along["margin"].difference).max() < 1e-4
    added = along["score"].total + along["less"].total
    assert np.allclose(along["margin"].total, added, atol=1e-5)  # integrated gradients are linear in the target


def test_less_memory_makes_smaller_batches_and_says_so(bert_folder, monkeypatch, capsys):  # noqa: F811
    tower = opened(bert_folder, dtype=torch.float32)
    ids = tower.token_ids(TEXTS, "document")
    expected = attribute(tower, ids, quadrature=GaussLegendre(4), target=Norm())
    attributor = Attributor(tower, torch.device("cpu"))
    run, limit = attributor.upper.pooled, 300  # tokens

    def scarce(trace, layer, name, states, texts):
        if states[..., 0].numel() > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(trace, layer, name, states, texts)

    monkeypatch.setattr(attributor.upper, "pooled", scarce)
    found = attributor.attribute(ids, GaussLegendre(4), Norm())
    assert np.allclose(found.inner, expected.inner, rtol=1e-4, atol=1e-6)
    assert "Memory does not suffice; going on with 2048 tokens at once." in capsys.readouterr().err
    limit = 1
    with pytest.raises(UserError, match="one text of 24 tokens"):
        attributor.attribute(ids, GaussLegendre(4), Norm())


def test_other_errors_are_not_taken_for_a_lack_of_memory(bert_folder):  # noqa: F811
    tower = opened(bert_folder)

    def wrong(pooled):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        attribute(tower, [[2, 3]], quadrature=Published(2), target=Fixed(wrong))


def test_whatever_a_block_does_with_its_sub_layers_is_done(llama_folder):  # noqa: F811
    tower = opened(llama_folder)
    tower.backbone.layers[1].mlp.act_fn = nn.Identity()
    tower.backbone.layers[1].mlp.register_forward_hook(lambda module, args, output: -output)
    found = attribute(tower, [[2, 3]], quadrature=Published(3), target=Norm())
    _same(found, 0, published(tower.backbone, [2, 3], "mean", steps=3), 1e-6)
