"""Training in several processes that average their gradients by one all-reduce.

Processes of one thread each are faster than one process of several threads. All gradients are one flat tensor. Two more
numbers tell the others the first process's progress and whether to stop, so that all decide alike at each step.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Gradients:
    """The gradients of all parameters, as views of one tensor."""

    def __init__(self, parameters: list[nn.Parameter], rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        total = sum(p.numel() for p in parameters)
        self.flat = torch.zeros(total + 2)
        start = 0
        for p in parameters:
            p.grad = self.flat[start : start + p.numel()].view_as(p)
            start += p.numel()

    def clear(self) -> None:
        self.flat.zero_()

    def share(self, progress: float, stop: bool) -> tuple[float, bool]:
        """Average over the processes. Returns the first process's progress, and whether it stops."""
        self.flat[-2:] = torch.tensor([progress, float(stop)]) if self.rank == 0 else 0.0
        if self.world > 1:
            dist.all_reduce(self.flat)
            self.flat[:-2] /= self.world
        return float(self.flat[-2]), bool(self.flat[-1] > 0)

    def clip(self, limit: float) -> float:
        """Scale down to a norm of at most `limit`. Returns the norm before."""
        gradient: Tensor = self.flat[:-2]
        norm = float(gradient.norm())
        if norm > limit:
            gradient *= limit / norm
        return norm


def join(rank: int, world: int, port: int) -> None:
    """Connect to the other processes on this machine, if there are any."""
    if world > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)


def leave(world: int) -> None:
    if world > 1:
        dist.destroy_process_group()


def broadcast(model: nn.Module, world: int) -> None:
    """Copy the first process's weights to all."""
    if world > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)
