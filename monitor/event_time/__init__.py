"""Event time: what each row's time is, when time has passed, and in which order rows are folded."""
