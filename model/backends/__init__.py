"""Model families, one file each. Each holds a segmenter as `model.protocol.SegmenterProtocol` describes it."""
