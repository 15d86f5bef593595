"""Annotations: masks with who made them and what became of them in review."""
