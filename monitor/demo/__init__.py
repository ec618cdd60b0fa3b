"""A market, a production desk and faults to watch: seeded streams in wire form, and the story they tell."""
