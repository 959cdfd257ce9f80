"""Files in, verdicts out: the product that needs no torch."""
