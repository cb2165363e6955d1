"""The work of `embed` and `similar`: from galaxies to an atlas, and what is asked of it."""
