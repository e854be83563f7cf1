"""What messages reveal, by attacks that anyone can run on plain tensors."""
