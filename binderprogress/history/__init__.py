"""What is kept of launches that are over."""
