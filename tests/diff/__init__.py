"""Reading, comparing, and pulling schemas."""
