"""Visual neighbours: the atlas of representations and its search."""
