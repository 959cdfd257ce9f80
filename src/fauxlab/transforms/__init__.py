"""Changes of pictures: random augmentation, degradations on their way through the world,
self-blending.
"""
