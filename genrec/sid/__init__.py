"""Semantic ids: item vectors to codes, made unique, measured, and kept from day to day.

assign fits ids for a catalogue. tokenizers/ holds the variants and quantize/ what they are built from; cooccurrence and
fusion prepare the vectors; unique and repair make ids distinct; quality, spread and neighbours describe them; daily/
keeps them while the catalogue grows; artifact and tokenizer_files name, write and read the files.
"""
