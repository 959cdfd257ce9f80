"""The one error that users meet."""


class LabError(Exception):
    """An input that cannot be used: the message says what, where, and what to do next, in one line."""
