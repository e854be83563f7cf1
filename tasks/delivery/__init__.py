"""What a device gets: its champion as a folder that runs without this project."""
