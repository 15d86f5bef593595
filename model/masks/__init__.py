"""Arithmetic on masks, without networks. `cells` and `upsample` import torch; the other files do not."""
