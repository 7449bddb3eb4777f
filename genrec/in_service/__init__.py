"""The model in service: which one it is, how a new one compares with it, and whether that one is promoted.

- registry: the record in the store (service/<name>/) of every change: promote and roll back.
- ranks: the new model and the one in service on the same rows.
- decision: the figures of the two, and the rule that promotes the new one.

One room above `genrec.measure`, because a decision rests on a comparison; the registry lies here and not in the store's
package, because the store knows bytes and keys only; and not with what serves recommendations, which only asks the
registry. Sentences about a decision are made in `genrec.report`.
"""
