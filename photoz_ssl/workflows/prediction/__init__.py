"""The work of `predict`: from galaxies to the redshift table, and that table read back."""
