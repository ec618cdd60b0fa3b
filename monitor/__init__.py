"""shadow-monitor: an active and a shadow model, scored side by side, judged online."""
