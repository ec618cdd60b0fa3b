"""Books in fold 2: what they hold over all tasks at one instant, and what follows from the course of that."""
