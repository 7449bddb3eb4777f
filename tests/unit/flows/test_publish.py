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


def test_the_data_of_a_run_is_an_artifact_of_its_own_with_quarantine_and_filters():
    steps = [{"filter": "read", "users": 10, "items": 5, "interactions": 2000}]
    data = {"interactions_read": 2000, "quarantined": {"bad_json": 3}, "quality": {"filters": steps}}
    text = data_in_markdown({"name": "shop", "data": data}, "<html></html>", "/reports/1/report.html")
    assert text.startswith("# shop: data")
    assert "2,000 interactions read, 3 rows set aside" in text
    assert "| bad json | 3 |" in text
    assert "| as read | 10 | 5 | 2,000 |  |" in text
    assert "(/reports/1/report.html#data)" in text
