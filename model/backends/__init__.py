"""Model families: one file each, with a segmenter that answers `model.protocol.SegmenterProtocol`."""
