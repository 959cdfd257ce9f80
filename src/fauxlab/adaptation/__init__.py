"""Adaptation: a detector learns a new generator from a few examples, without PyTorch."""
