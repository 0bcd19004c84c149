"""The light engine: ONNX graphs made from our own weights, run by ONNX Runtime without torch."""
