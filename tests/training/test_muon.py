"""Muon against its definition, worked with singular value decompositions in float64."""

import pytest
import torch

from charlm.config import ModelConfig, TrainingConfig
from charlm.models import LanguageModel
from charlm.training.muon import ADAM_SIZE, orthogonalised
from charlm.training.optimizers import make_optimizers

CPU = torch.device("cpu")
SHAPES = [(8, 8), (24, 8), (8, 24), (12, 9), (1, 5), (5, 1), (1, 1)]


def randoms(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def defined(matrix):
    """The same singular vectors, the polynomial on the singular values of the matrix at norm 1."""
    U, s, V = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return U @ s.diag() @ V


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
def test_directions_are_orthogonalised_as_defined(scale):
    matrices = [scale * randoms(*shape, seed=seed) for shape in SHAPES for seed in range(2)]
    for matrix, found in zip(matrices, orthogonalised(matrices), strict=True):
        torch.testing.assert_close(found.double(), defined(matrix), rtol=0, atol=2e-4)


def test_strong_and_weak_directions_become_equals():
    U, V = (torch.linalg.qr(randoms(16, 16, seed=seed)).Q for seed in (1, 2))
    strengths = torch.logspace(0, -2, 16)
    (found,) = orthogonalised([U @ strengths.diag() @ V])
    after = (U.T @ found @ V.T).diagonal()
    assert strengths.max() / strengths.min() > 99
    assert after.min() > 0.6
    assert after.max() < 1.25


def test_no_gradient_moves_nothing():
    assert all(not found.any() for found in orthogonalised([torch.zeros(4, 9), torch.zeros(4, 4)]))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_by_hand(decay):
    """Matrices along their Nesterov momentum, as far as Adam's steps; the others exactly as AdamW moves them."""
    rate, start = 0.02, {"inner": randoms(12, 5), "embedding": randoms(7, 5, seed=1), "bias": randoms(5, seed=2)}
    ours, theirs = ({name: torch.nn.Parameter(v.clone()) for name, v in start.items()} for _ in range(2))
    settings = TrainingConfig(optimizer="muon", learning_rate=rate, weight_decay=decay)
    (optimizer,) = make_optimizers(ours, settings, CPU)
    adamw = torch.optim.AdamW([theirs["embedding"], theirs["bias"]], lr=rate, weight_decay=decay, fused=True)
    expected, momentum = start["inner"].double(), 0.0
    for step in range(4):
        gradients = {name: randoms(*v.shape, seed=10 * step + len(name)) for name, v in start.items()}
        for parameters in (ours, theirs):
            for name, parameter in parameters.items():
                parameter.grad = gradients[name].clone()
        optimizer.step()
        adamw.step()
        gradient = gradients["inner"].double()
        momentum = 0.95 * momentum + gradient
        direction = defined(gradient + 0.95 * momentum)
        expected = (1 - rate * decay) * expected - rate * 0.2 * 12**0.5 * direction
        assert torch.equal(ours["inner"].grad, gradients["inner"])
    torch.testing.assert_close(ours["inner"].double(), expected, rtol=0, atol=1e-5)
    for name in ("embedding", "bias"):
        assert torch.equal(ours[name], theirs[name])


def test_an_update_is_as_large_as_adams():
    (direction,) = orthogonalised([randoms(64, 16)])
    size = ADAM_SIZE * 64**0.5 * direction.square().mean().sqrt().item()
    assert size == pytest.approx(0.2, rel=0.2)


def test_matrices_between_hidden_vectors_are_muons():
    config = ModelConfig(hidden_size=6, embedding_size=5, tie_weights=True, layer_norm=True, layers=2)
    names = set()
    for settings in (config, ModelConfig(hidden_size=6, layers=2, ngram_embedding_size=3)):
        parameters = dict(LanguageModel(settings, 9).named_parameters())
        parameters.pop("ngram_embedding", None)  # learnt in its own way
        (optimizer,) = make_optimizers(parameters, TrainingConfig(optimizer="muon"), CPU)
        matrices, others = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
        names |= {name for name, parameter in parameters.items() if id(parameter) in matrices}
        assert matrices | others == {id(parameter) for parameter in parameters.values()}
    weights = {f"layers.{layer}.{kind}_weight" for layer in range(2) for kind in ("input", "recurrent")}
    assert names == weights | {"projection"}
