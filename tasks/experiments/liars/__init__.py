"""What one device that lies costs the others."""
