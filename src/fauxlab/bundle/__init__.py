"""What a model is on disk: its folder, config and card, and detectors that onnxruntime runs.

Nothing here needs torch.
"""
