"""Bytes of a picture in, an upright RGB picture out: in this process, or in a child of it."""
