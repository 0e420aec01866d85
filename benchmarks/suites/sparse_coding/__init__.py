"""Sparse coding, its solvers, and the networks unrolled from them."""
