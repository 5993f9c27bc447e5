"""ConvBERT, composed of the ops in the order of the paper."""
