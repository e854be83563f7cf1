"""By what a device should choose the neurons that it discards."""
