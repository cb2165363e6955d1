"""What people look at: figures, pictures of galaxies, mosaics and pages of them."""
