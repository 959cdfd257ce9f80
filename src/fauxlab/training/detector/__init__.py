"""Detector training."""
