"""`python -m benchmark.peers`: published networks to compare with."""
