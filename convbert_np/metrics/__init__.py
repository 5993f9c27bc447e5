"""How good predictions are: each function takes what is true and what was predicted, and gives numbers between 0 and 1 (or -1 and 1)."""
