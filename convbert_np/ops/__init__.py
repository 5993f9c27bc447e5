"""The mathematics: functions of arrays, each with its adjoint. Nothing here knows of ConvBERT."""
