"""What is measured, one file for each task. `table.py` lists them."""
