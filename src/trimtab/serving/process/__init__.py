"""The server as processes: supervisor, workers, handover, counters, status."""
