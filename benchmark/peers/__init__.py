"""Published networks (`python -m benchmark.peers`) and PyTorch, to compare with."""
