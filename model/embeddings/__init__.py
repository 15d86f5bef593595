"""Image embeddings: computed once for each content, cached, saved and loaded."""
