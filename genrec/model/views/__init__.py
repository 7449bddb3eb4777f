"""History views: how the items a user met become positions of the model's input.

A view is one module of this package with a `Config` and a class `View(Config)`, stateless, with

    prompt_ids(policy, histories, sids) -> (ids int64[B, P], attention mask int64[B, P]), padded on the left
    embed(policy, ids) -> the model's input for these ids, [B, P, D], differentiable
    sequence_hidden(policy, codes, items) -> hidden states [B, M, L, D] that predict every code of every item of whole
        histories; what a target's codes see is what `prompt_ids` would show for the items before it

Every view has the setting `instruction`: the prompt's wording in one place, the same in training, search and RL. A prompt
opens with BOS and those words (`Policy.opening`). Every view ends a prompt at a position whose hidden state predicts level 0; candidates stand behind it as semantic-id
tokens (`genrec.search.layout`), whatever the view.
"""

PACKAGE = "genrec.model.views"
