"""Calibration: probabilities, thresholds, the uncertain band, and out-of-distribution limits."""
