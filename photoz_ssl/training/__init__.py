"""Learning: schedules, the loop, and the contrastive and supervised losses."""
