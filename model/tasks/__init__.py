"""The kinds of task, one file each: the steps before, in and after the networks. `bounds` is torch-free."""
