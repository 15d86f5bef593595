"""Kubernetes' autoscaler as deploy/k8s/components/keda sets it up: fast up, slowly down, and to zero."""

from collections import deque
from dataclasses import dataclass, field
from math import ceil


@dataclass(frozen=True)
class Behaviour:
    """What a ScaledObject says."""

    least: int = 0
    most: int = 200
    stabilisation: float = 900.0
    cooldown: float = 300.0
    up_percent: float = 300.0
    up_pods: int = 8
    up_period: float = 30.0
    down_percent: float = 25.0
    down_pods: int = 1
    down_period: float = 60.0


@dataclass
class Autoscaler:
    """Ask `replicas` at each poll."""

    behaviour: Behaviour
    now: int = 0
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _up_at: float = -1e9
    _down_at: float = -1e9
    _busy_at: float = -1e9

    def replicas(self, at: float, wanted: int) -> int:
        """The number of pods from now on, where the metric asks for `wanted`."""
        b = self.behaviour
        self._busy_at = at if wanted > 0 else self._busy_at
        self._wanted.append((at, wanted))
        while self._wanted[0][0] < at - b.stabilisation:
            self._wanted.popleft()
        target = min(b.most, max(1, wanted))
        if self.now == 0:
            self.now = 1 if wanted > 0 else b.least  # KEDA activates; the autoscaler goes on from there
        elif target > self.now and at - self._up_at >= b.up_period:
            self.now = min(target, max(self.now + b.up_pods, ceil(self.now * (1 + b.up_percent / 100))))
            self._up_at = at
        elif target < self.now and at - self._down_at >= b.down_period:
            floor = min(b.most, max(1, *(n for _, n in self._wanted)))
            step = max(b.down_pods, int(self.now * b.down_percent / 100))
            self.now = min(self.now, max(floor, self.now - step))
            self._down_at = at
        if self.now == 1 and wanted == 0 and at - self._busy_at >= b.cooldown:
            self.now = b.least
        return self.now
