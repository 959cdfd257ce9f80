"""Files to arrays: indexing, splitting, decoding, caching and augmenting face images."""
