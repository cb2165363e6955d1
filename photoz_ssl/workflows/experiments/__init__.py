"""The work of `experiment`: what many trainings reached, kept, drawn, and set beside photometry."""
