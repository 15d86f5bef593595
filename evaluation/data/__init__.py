"""Data sets on disk as pictures with regions. `table.py` lists the formats."""
