"""What crosses a tier: declared kinds of messages, one way to send them, and the ledger."""
