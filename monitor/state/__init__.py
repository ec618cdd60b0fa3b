"""State: keys and encodings of what a task must find again after a restart. Pure; the transport writes."""
