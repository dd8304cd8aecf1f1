"""`trimtab score`: files through the serving runtime."""
