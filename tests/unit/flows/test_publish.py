"""What is shown in Prefect of the lists for every customer."""

from flows import publish
from tests.unit.serve.batch.test_words import MADE


def test_ids_out_of_the_data_are_text_and_never_markup(monkeypatch):
    shown = {}
    monkeypatch.setattr(publish, "create_markdown_artifact", lambda text, **more: shown.update(more, text=text))
    hostile = "<script>x</script>[a](http://b)*c*`d`"
    publish.publish_recommendations(
        "My shop", {**MADE, "run_id": "tuesday", "unknown_users": 1, "unknown_named": [hostile]}
    )
    assert shown["key"] == "my-shop-recommendations"
    assert "\\[a\\]\\(http://b\\)\\*c\\*\\`d\\`" in shown["text"]
    assert "<script>" not in shown["text"]
    assert "- 1,200 users, 1,200 lists by the model of tuesday" in shown["text"]
