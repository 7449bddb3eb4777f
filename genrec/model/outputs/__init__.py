"""Outputs: what the hidden states that predict a semantic id are compared with.

An output is one module of this package with a `Config` and a class `Output(Config)` that is a
`genrec.model.output.Output`.
"""

PACKAGE = "genrec.model.outputs"
