"""Words, tables and pictures of what `genrec.measure` returns: the report of a run and the comparison of recipes.

- results: one shape for the results of a run and of a comparison, and its tables; result_plots: its plots;
  words: its sentences, and those about a promotion and the protocol; page: the part of the page that both share.
- report: report.json and report.html (from collect, training, semantic_ids and examples); recipes: comparison.json and
  comparison.html.
- plots: figures as SVG.
"""
