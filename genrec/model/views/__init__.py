"""History views: how the items a user met become positions of the model's input.

A view is one module of this package with a `Config` and a class `View(Config)` that is a
`genrec.model.history_view.HistoryView`.
"""

PACKAGE = "genrec.model.views"
