"""What may be asked of a model: the steps before, in and after the networks. One file a task."""
