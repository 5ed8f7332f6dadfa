"""What is said of the likeness of layers: no more than their intervals show."""

from pipeline.probing.geometry.findings import _likeness


def rows(*debiased: tuple[float, float, float], plain: tuple[float, ...] = ()) -> list[dict]:
    """Layers with these figures of debiased CKA (mean, low, high), and of plain CKA where it is another."""
    return [
        {
            **dict(zip(("cka_debiased", "cka_debiased_low", "cka_debiased_high"), figure, strict=True)),
            "cka": plain[layer] if plain else figure[0],
            "cka_low": figure[1],
            "cka_high": figure[2],
            "rsa": None,
            "layer": layer,
            "facing_layer": layer,
            "compared": 40,
            "compared_in_pairs": 20,
        }
        for layer, figure in enumerate(debiased)
    ]


def said(given: list[dict]) -> str:
    return " ".join(_likeness("base", "tuned", "query", given))


def test_layers_are_ordered_by_debiased_cka_and_named_only_where_told_apart():
    found = said(rows((0.9, 0.85, 0.95), (0.8, 0.7, 0.9), (0.3, 0.2, 0.4), plain=(0.9, 0.99, 0.95)))
    assert "tuned is most like base in layer 0 (debiased CKA 0.9000 [0.8500, 0.9500]" in found
    assert "; not told apart from layer 1) and least in layer 2 (debiased CKA 0.3000" in found
    assert found.count("not told apart") == 1


def test_layers_whose_intervals_meet_are_not_called_most_or_least():
    found = said(rows((0.5, 0.2, 0.8), (0.4, 0.1, 0.7)))
    assert "which layer of tuned is most like base is not told apart" in found
    assert "least" not in found


def test_equal_models_and_a_single_layer_are_said_as_they_are():
    assert "has base's geometry in every layer" in said(rows((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)))
    assert "the likeness of tuned and base in layer 0 is debiased CKA 0.5000" in said(rows((0.5, 0.2, 0.8)))
