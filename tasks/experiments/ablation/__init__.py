"""What we changed against the letter of the paper."""
