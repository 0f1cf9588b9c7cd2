"""The whole training step against the usual loop over torch's own layers: same windows, same losses."""

import numpy as np
import pytest
import torch
from torch import nn

STEPS, B, T, H = 60, 4, 8, 12


class Reference(nn.Module):
    """What a tutorial writes: embedding, `nn.LSTM`, linear."""

    def __init__(self, V, weights):
        super().__init__()
        self.embedding = nn.Embedding(V, H)
        self.lstm = nn.LSTM(H, H, num_layers=2, batch_first=True)
        self.linear = nn.Linear(H, V)
        parts = {"input_weight": "weight_ih", "recurrent_weight": "weight_hh"}
        parts |= {"input_bias": "bias_ih", "recurrent_bias": "bias_hh"}
        names = {
            "embedding": self.embedding.weight,
            "output_weight": self.linear.weight,
            "output_bias": self.linear.bias,
        }
        for layer in range(2):
            for ours, theirs in parts.items():
                names[f"layers.{layer}.{ours}"] = getattr(self.lstm, f"{theirs}_l{layer}")
        with torch.no_grad():
            for name, parameter in names.items():
                parameter.copy_(torch.from_numpy(weights[name]))

    def forward(self, ids, state):
        y, state = self.lstm(self.embedding(ids), state)
        return self.linear(y), tuple(tensor.detach() for tensor in state)


def windows(ids):
    """The same text cut by hand: lane b starts at b (N - 1) // B and wraps round the end."""
    starts = np.arange(B) * (len(ids) - 1) // B
    for step in range(STEPS):
        places = (starts[:, None] + step * T + np.arange(T)) % (len(ids) - 1)
        yield torch.from_numpy(ids[places].astype(np.int64)), torch.from_numpy(ids[places + 1].astype(np.int64))


@pytest.mark.parametrize(
    ("name", "make", "rate"),
    [
        ("adam", lambda parameters: torch.optim.Adam(parameters, lr=0.01), 0.01),
        ("sgd", lambda parameters: torch.optim.SGD(parameters, lr=1.0), 1.0),
    ],
)
def test_losses_are_those_of_the_usual_loop(make_learner, name, make, rate):
    learner = make_learner({"dropout": 0.0, "hidden_size": H}, optimizer=name, clip_norm=0.25, steps=STEPS)
    model = Reference(6, learner.model.to_arrays())
    optimizer = make(model.parameters())
    state, expected = None, []
    for inputs, targets in windows(np.asarray(learner.lanes._ids)):
        logits, state = model(inputs, state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        expected.append(loss.item())
    assert [learner.step(rate).loss for _ in range(STEPS)] == pytest.approx(expected, abs=1e-4)
    assert expected[-1] < expected[0] - 0.3  # and something was learnt
