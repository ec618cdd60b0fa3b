"""Typed configuration from YAML and environment; instruments. Knows no streams and no sessions."""
