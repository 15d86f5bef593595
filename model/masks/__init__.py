"""Arithmetic on masks, without networks.

`axis`, `cells`, `dense`, `sparse` and `upsample` import torch. The other files do not: the API uses them.
"""
