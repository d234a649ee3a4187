"""How fast each server is, measured in interleaved rounds under the same conditions."""
