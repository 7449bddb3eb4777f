"""genrec: a generative recommender, from raw reviews to ranked products.

A pure library: every stage of the pipeline is a function here that reads files, computes and writes
files into a folder it is given. Scheduling (Ray) lives in `tasks`, orchestration (Prefect) in `flows`.
"""
