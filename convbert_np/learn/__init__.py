"""What helps to see: pictures of values, attention, kernels and gradients. Needs the extra `convbert-np[plot]`."""
