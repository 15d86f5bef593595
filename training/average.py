"""An exponential moving average of a model's floating-point state, including BatchNorm's buffers."""

import torch
from torch import Tensor, nn

DECAY = 0.995


class Average:
    def __init__(self, model: nn.Module) -> None:
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model, faster at first so that the initial weights fade."""
        self.updates += 1
        decay = min(DECAY, (1 + self.updates) / (10 + self.updates))
        mine: list[Tensor] = []
        theirs: list[Tensor] = []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                mine.append(self.state[name])
                theirs.append(value)
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(mine, theirs, 1 - decay)
