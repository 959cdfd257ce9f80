"""Figures of detectors and generators, with their uncertainty."""
