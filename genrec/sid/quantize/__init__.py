"""What tokenizers are built from: residual quantisation, k-means, balanced k-means, autoencoders. No variants here."""
