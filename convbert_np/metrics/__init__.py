"""How good predictions are: functions of what is true and what was predicted, to shares between 0 and 1 or correlations."""
