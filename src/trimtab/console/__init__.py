"""The control API: what the command line reads, over HTTP, and verdicts that other rollout tools go by. Read-only."""
