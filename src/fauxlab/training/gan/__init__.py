"""GAN training."""
