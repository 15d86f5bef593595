"""Networks of transformers' mask-generation family that take points and boxes. `families.py` has the table."""
