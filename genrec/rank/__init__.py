"""Ranking: the candidates of the generator and the recall channels, put in one order by a model of their features."""
