"""What changes what a score means: probabilities, thresholds, the uncertain band, and what is out
of distribution.
"""
