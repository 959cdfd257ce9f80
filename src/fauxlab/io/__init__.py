"""Bytes in, files out: pictures are decoded, folders and zips read, results written."""
