"""What fold 1 remembers between slices, so that rows can be derived from rows that came apart."""
