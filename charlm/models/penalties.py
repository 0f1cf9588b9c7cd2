"""What the outputs of the last layer cost by themselves, beside the loss of the predictions made of them."""

from __future__ import annotations

from torch import Tensor

from charlm.config import ModelConfig


def penalty_of(outputs: Tensor, dropped: Tensor, config: ModelConfig) -> Tensor:
    """Activation and temporal activation regularisation (Merity et al., 2017, arXiv:1708.02182, section 4.6): a scalar.

    The first pulls outputs towards zero, the second each output towards the one before it in the window.

    Args:
        outputs: (B, T, H) of the last layer.
        dropped: (B, T, H), the same with dropout, as the output layer gets them; these are what is kept small.
    """
    penalty = config.activation_penalty * dropped.float().square().mean()
    if config.change_penalty and outputs.shape[1] > 1:
        change = outputs[:, 1:].float() - outputs[:, :-1].float()
        penalty = penalty + config.change_penalty * change.square().mean()
    return penalty
