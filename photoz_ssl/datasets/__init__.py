"""Galaxies as seeded batches, and the views made of them."""
