"""The sky and its files: bands, catalogues, cutouts, frames, dust, archives, tables."""
