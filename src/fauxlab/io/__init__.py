"""Bytes in, files out: pictures decoded with care, folders and zips read, results written whole."""
