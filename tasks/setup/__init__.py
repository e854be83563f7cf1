"""What `acme init` and `acme profile` find out."""
