"""One file a family: its configuration, its module in plain torch, its table of units."""
