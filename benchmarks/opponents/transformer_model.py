"""A small causal Transformer from torch's own layers, in the usual pre-norm form, and how it is trained.

Learnt positions, GELU, no biases in the norms' way, output layer tied to the embedding (Radford et al., 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charlm.streams import Lanes


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, width) -> the same shape"""
        B, T, width = x.shape
        # (B, T, 3 width) -> 3 of (B, heads, T, width / heads)
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, width))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Ids to logits; sees the last `window` symbols and no more."""

    def __init__(self, V: int, window: int, *, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.window, self.vocab_size = window, V
        self.embedding, self.position = nn.Embedding(V, width), nn.Embedding(window, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # what adds to the residual stream begins smaller, the more of it there is
                depth = math.sqrt(2 * layers) if name.endswith(("out.weight", "mlp.2.weight")) else 1.0
                nn.init.normal_(parameter, std=0.02 / depth)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (B, T), T at most the window -> logits (B, T, V)"""
        x = self.embedding(ids) + self.position.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.embedding.weight)

    def operations(self) -> float:
        """Multiplications and additions in the products of a training step, for each character.

        Weights once forward and twice backward; scores and mixing of attention over the half of the window that
        a causal mask leaves, on average.
        """
        weights = sum(p.numel() for name, p in self.named_parameters() if p.dim() == 2 and "position" not in name)
        width = self.embedding.embedding_dim
        attention = 2 * len(self.blocks) * width * (self.window + 1) / 2
        return 3 * 2 * (weights + attention)


def train(
    model: Transformer,
    lanes: Lanes,
    *,
    seconds: float,
    rate: float,
    warmup: float,
    dtype: torch.dtype,
    clock: Callable[[], float],
) -> int:
    """AdamW, warm-up over a share of the time, then cosine to a tenth; returns the characters read."""
    decayed = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=True)
    started, characters = clock(), 0
    while (share := (clock() - started) / seconds) < 1:
        falling = 0.1 + 0.45 * (1 + math.cos(math.pi * max(0.0, share - warmup) / (1 - warmup)))
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (share + 1e-3) / warmup) * falling
        inputs, targets = (torch.from_numpy(part) for part in lanes.next(model.window))
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = model(inputs)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        characters += inputs.numel()
    return characters


@torch.inference_mode()
def nats_per_character(model: Transformer, ids: Tensor, stride: int) -> float:
    """Mean loss of every id but the first, each once, in fp32.

    Windows begin every `stride` ids. At the window's length they do not overlap, and each begins without memory;
    below it every prediction but the first ones has at least ``window - stride`` symbols before it.
    """
    total, T = 0.0, model.window
    predictions = len(ids) - 1
    # the first window gives all of its predictions, every later one the last `stride`
    starts = list(range(0, max(1, predictions - T + stride), stride))
    for at in range(0, len(starts), 256):
        some = torch.tensor(starts[at : at + 256])
        places = some[:, None] + torch.arange(T)
        inside = places < predictions
        inside[:, : T - stride] &= (some == 0)[:, None]
        logits = model(ids[places.clamp(max=predictions)])
        nats = F.cross_entropy(
            logits.flatten(0, 1), ids[(places + 1).clamp(max=predictions)].flatten(), reduction="none"
        )
        total += float(nats.view(places.shape)[inside].double().sum())
    return total / predictions
