"""What a run came to: test scores, summary, pictures, page."""
