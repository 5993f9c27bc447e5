"""How the model of the package was made and measured: its text, its training, and what it is compared with."""
