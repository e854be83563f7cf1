"""The settings file and the fleet, read into frozen records."""
