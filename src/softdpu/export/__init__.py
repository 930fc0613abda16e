"""A quantized network in the forms that other int8 devices take: QDQ ONNX (XINT8, VINT8) and .tflite.

Everything is made from the compiler's own graph, which is the network as the DPU computes it.
"""
