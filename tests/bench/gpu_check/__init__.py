"""What a GPU does to genrec: is it right there, and how fast.

    make gpu-check          or          python -m tests.bench.gpu_check [--out FOLDER] [--only PART ...] [--shape tiny]

Needs a checkout, torch, transformers, peft, numpy, pyarrow and safetensors; no network, no other file. Every part is a
process of its own with a time limit; when one fails or takes too long, the others still run. It ends with a table,
and writes `gpu_check.json` into the folder. `--shape tiny` runs the same code on small models, also without a GPU.
"""
