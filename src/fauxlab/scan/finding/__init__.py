"""A picture in, the faces in it out: a fast network proposes places, a surer one confirms them."""
