"""Changes of pictures: random augmentation, degradations as in the wild, self-blended faces."""
