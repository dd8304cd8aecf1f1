"""The server's edge: sockets, HTTP, TLS, tokens, traces. Knows no model."""
