"""Published measures, without a model: arrays in, figures out."""
