"""docs/privacy.md: what every kind of message reveals, on devices of the default fleet."""
