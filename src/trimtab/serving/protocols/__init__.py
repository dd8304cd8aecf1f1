"""What is said over HTTP: bodies to rows, answers to bodies, and the description of both."""
