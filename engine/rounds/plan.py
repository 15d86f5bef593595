"""What a run of rounds is, and where its files lie."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

KEY = "rounds"
"""The folder in the bucket, and below `images` in the run's folder, as an export names the files."""


class OtherRun(ValueError):
    """The folder has a run with other settings."""


@dataclass(frozen=True)
class Plan:
    """The settings of a run. Pictures of a stage are new in each round; those of the check are the same in all."""

    family: str = "cells"
    rounds: int = 3
    assisted: int = 8
    semi_automatic: int = 4
    checked: int = 8
    target: float = 0.8
    most: int = 10
    steps: int = 60
    peak: float = 1e-4
    warm_up: int = 15


@dataclass(frozen=True)
class Folder:
    """A run's folder."""

    path: Path

    def begin(self, plan: Plan) -> None:
        """Raises OtherRun where the folder has a run with other settings."""
        file = self.path / "plan.json"
        if file.exists() and json.loads(file.read_text()) != asdict(plan):
            raise OtherRun(f"{self.path} has a run with other settings: give another --out, or remove it")
        self.path.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(plan), indent=1))

    @property
    def bucket(self) -> Path:
        """The pictures, below the key that they have in the bucket."""
        return self.path / "images" / KEY

    def pictures(self, part: str) -> Path:
        return self.bucket / part

    def truth(self, part: str) -> Path:
        return self.path / "truth" / f"{part}.json"

    def weights(self, number: int) -> Path:
        """What training made after this round."""
        return self.path / f"round-{number}" / "weights.safetensors"

    def training(self, number: int) -> Path:
        return self.path / f"round-{number}" / "training"

    def measured(self, number: int) -> Path:
        """What was measured with the weights of this round; 0: with the shipped ones."""
        return self.path / "measured" / f"{number}.json"
