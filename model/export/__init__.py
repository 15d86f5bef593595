"""The mask decoder as an ONNX file, for browsers and other programs that decode masks themselves."""
