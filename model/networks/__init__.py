"""The networks: tensors in, tensors out. They know nothing of images, files or thresholds."""
