"""The networks: tensors in, tensors out. No images, files or thresholds."""
