"""The report's experiments in order, beside its own figures: the detector half and the GAN half."""
