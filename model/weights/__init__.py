"""Where a network's numbers come from: files, downloads, seeds. `python -m model.weights` fetches them."""
