"""What a config needs of a GPU: memory, arithmetic and time of its stages, found on a machine without one.

The code that trains and searches runs on a device that holds no numbers (`genrec.plan.device`), and every tensor that it
makes there is counted (`genrec.plan.memory`).
"""
