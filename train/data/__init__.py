"""What there is to learn from: readers, framing, cutting, and how batches are drawn."""
