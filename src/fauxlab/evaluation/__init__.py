"""Judging detectors and generators, with figures that carry their uncertainty."""
