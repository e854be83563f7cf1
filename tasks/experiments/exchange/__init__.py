"""What devices tell each other, by how much data they have: sensors, and languages."""
