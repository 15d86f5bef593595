"""Weights of the networks, from files, downloads or seeds. `python -m model.weights fetch` downloads them."""
