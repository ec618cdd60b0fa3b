"""Metrics by group: their pane statistics, how these are fed, how values are read from windows."""
