"""Models that know words: detectors, a ranker of masks, and segmenters that take words themselves.

`load.py` has the table of families. transformers is imported only where one of them is loaded.
"""
