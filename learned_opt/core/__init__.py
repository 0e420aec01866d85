"""Layer 0: the types, checks and numerics that everything else rests on."""
