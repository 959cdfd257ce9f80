"""Training loops that write all they did to a run folder and can be killed at any instant."""
