"""The mathematics: functions of arrays, each with its adjoint. Nothing here knows of ConvBERT.

The letters of the shapes: B batch, S sequence, H hidden, E embedding, I intermediate, N heads of each kind, d head size, A = N*d,
K taps of a kernel, G groups, V vocabulary, C classes. `dx` is the gradient of the loss by x. A number such as (2) behind a line
of code is that of the equation in the docstring which the line computes, or whose adjoint it is.
"""
