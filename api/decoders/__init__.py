"""Mask decoders of models, for browsers and programs that decode masks themselves."""
