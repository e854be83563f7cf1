"""Order: who calls whom, a page each."""
