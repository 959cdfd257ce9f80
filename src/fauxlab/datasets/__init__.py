"""Data sets to be had: public ones from the hub, and toyfaces, which is drawn."""
