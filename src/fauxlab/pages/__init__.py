"""Figures and pages, made from results and logs alone."""
