"""Masks for phrases: a route for each kind of model for text. `steps.py` has the table."""
