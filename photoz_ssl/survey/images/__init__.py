"""Images of galaxies: cut out of frames, found in files, brought into the form of a stamp."""
