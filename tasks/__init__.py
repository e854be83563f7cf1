"""Effects: a room per tier, and one per thing they need."""
