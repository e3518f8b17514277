"""What ``costlab bench`` measures and records."""
