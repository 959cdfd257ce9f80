"""From files to arrays: find the images, put them into a manifest, split, decode and cache them."""
