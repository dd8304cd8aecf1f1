"""What is kept of each answer: the log, its profiles, privacy and retention."""
