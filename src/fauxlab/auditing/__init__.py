"""Shortcuts in a data set that a network could learn, found before anything is trained."""
