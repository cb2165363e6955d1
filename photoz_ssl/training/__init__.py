"""Learning: schedules, the contrastive and the supervised loop."""
