"""Model families, one file each, with a row in `model/load.py`.

Each holds a segmenter as `model.protocol.SegmenterProtocol` describes it.
"""
