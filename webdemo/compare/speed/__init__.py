"""Speed: measures how fast each server is, in interleaved rounds under the same conditions."""
