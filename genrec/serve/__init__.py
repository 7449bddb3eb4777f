"""Recommendations out of a trained model: one engine for Python, batches, the endpoint and the page.

At the top its modules import only torch, transformers, peft, numpy and pyarrow: an exported folder is loaded on machines
that have nothing else.
"""
