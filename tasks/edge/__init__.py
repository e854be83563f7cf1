"""An edge server (Sec. III-C, III-D2): its header search, and the mixing of what devices send."""
