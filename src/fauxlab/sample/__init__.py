"""Pictures from a generator: by seed, on a path between seeds, as files, and as a data set."""
