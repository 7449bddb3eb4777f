"""The endpoint's page as people use it, in a real browser: token, search, basket, filters, why, two models, a phone.

Screenshots of every step go to the folder named by GENREC_SCREENSHOTS, when it is set.
"""

import os
import re
from pathlib import Path

import pytest

from tests.support.api_tiny import TOKEN, Shelf
from tests.support.browser import page as browser_page
from tests.support.scored_tiny import tiny_catalogue, tiny_engine
from tests.support.served_page import served_page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HOSTILE = "<img src=x onerror=\"document.title='run'\"><b>bold</b> kettle"
LONG = "Kettle" + "lengthy" * 30
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}


def shelf(model_key: str, seed: int) -> Shelf:
    """A model over titles of which one is markup and one is far too long."""
    catalogue = tiny_catalogue()
    titles = [*catalogue.titles]
    titles[0], titles[1] = HOSTILE, LONG
    source = Shelf()
    source.engines[0] = tiny_engine(catalogue=tiny_catalogue(titles=titles), model_key=model_key, seed=seed)
    return source


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with served_page(tmp_path_factory.mktemp("api"), shelf("tiny-a", 0), shelf("tiny-b", 1)) as url:
        yield url


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browser_page(tmp_path_factory.mktemp("profile")) as page:
        page.set_default_timeout(20_000)
        yield page


@pytest.fixture
def ui(browser, url, request):
    """The page as a new tab shows it; `request.param`, by default desk, is its size. Errors of its scripts fail the test."""
    problems: list[str] = []
    asked: list[str] = []
    browser.on("pageerror", on_error := lambda error: problems.append(str(error)))
    browser.on("request", on_request := lambda r: asked.append(r.url))
    width, height = WIDTHS[getattr(request, "param", "desk")]
    browser.set_viewport_size({"width": width, "height": height})
    browser.goto(url)
    browser.evaluate("sessionStorage.clear()")
    browser.reload()
    yield browser
    browser.unroute_all()
    browser.remove_listener("pageerror", on_error)
    browser.remove_listener("request", on_request)
    assert problems == []
    assert [address for address in asked if not address.startswith(url)] == [], "the page asked another host"


@pytest.fixture
def logged_in(ui):
    ui.fill("#token-value", TOKEN)
    ui.keyboard.press("Enter")
    _titles(ui)
    return ui


def _shoot(page, name: str) -> None:
    if folder := os.environ.get("GENREC_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}-{page.viewport_size['width']}.png"))


def _titles(page, column: int = 0) -> list[str]:
    """Titles of a list, once the answer to the last question is there."""
    page.locator("#lists[aria-busy=false] .list").nth(column).wait_for()
    return page.locator(".list").nth(column).locator("h3").all_text_contents()


def _put(page, words: str) -> None:
    """Search, and put the first product found into the basket, by the keyboard."""
    before = page.locator("#basket li").count()
    page.fill("#search", words)
    page.locator("#found[id] [role=option][id]").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator(f"#basket li:nth-child({before + 1})").wait_for()
    page.locator("#lists[aria-busy=false]").wait_for()


def test_a_wrong_token_is_asked_for_again_and_the_right_one_is_kept_for_the_tab(ui):
    ui.fill("#token-value", "guess")
    ui.keyboard.press("Enter")
    ui.get_by_text("The endpoint refused this token").wait_for()
    _shoot(ui, "token-refused")
    ui.fill("#token-value", TOKEN)
    ui.keyboard.press("Enter")
    assert len(_titles(ui)) == 10
    assert ui.evaluate("Object.values(localStorage).concat(document.cookie).join('')") == ""
    ui.reload()
    assert len(_titles(ui)) == 10
    assert not ui.locator("#token").is_visible()


def test_an_empty_basket_shows_popular_products_and_a_full_one_what_the_model_says(logged_in):
    popular = _titles(logged_in)
    assert popular[:2] == [HOSTILE, LONG]
    logged_in.get_by_text("The most popular products").first.wait_for()
    _shoot(logged_in, "popular")
    _put(logged_in, "red tea")
    _put(logged_in, "green kettle")
    logged_in.get_by_text("Score: log-probability").wait_for()
    by_model = _titles(logged_in)
    assert by_model != popular
    basket = logged_in.locator("#basket .name").all_text_contents()
    assert not set(basket) & set(by_model), "what is in the basket was recommended"
    _shoot(logged_in, "basket")
    logged_in.reload()
    assert logged_in.locator("#basket .name").all_text_contents() == basket
    logged_in.get_by_role("button", name="Empty it").click()
    logged_in.get_by_text("The most popular products").first.wait_for()
    assert _titles(logged_in) == popular


def test_a_title_that_is_markup_is_shown_as_text_everywhere(logged_in):
    assert HOSTILE in _titles(logged_in)
    _put(logged_in, "bold kettle")
    _put(logged_in, "red tea")
    logged_in.get_by_role("button", name=re.compile("^Why")).first.click()
    logged_in.locator(".why .path").wait_for()
    assert HOSTILE in logged_in.locator(".influences .name").all_text_contents()
    assert HOSTILE in logged_in.locator("#basket .name").all_text_contents()
    assert logged_in.locator("main img, main b").count() == 0
    assert logged_in.title() == "Recommendations · genrec"


def test_why_shows_parts_that_add_up_the_history_and_the_path(logged_in):
    _put(logged_in, "red tea")
    _put(logged_in, "blue tray")
    logged_in.get_by_text("Score: log-probability").wait_for()
    first = _titles(logged_in)[0]
    why = logged_in.get_by_role("button", name=f"Why {first}", exact=True)
    assert why.get_attribute("aria-expanded") == "false"
    why.focus()
    logged_in.keyboard.press("Enter")
    logged_in.locator(".why .path").wait_for()
    assert why.get_attribute("aria-expanded") == "true"
    panel = logged_in.locator(".why").first
    for part in ("Semantic ids", "Dense head", "Transition table"):
        assert panel.get_by_text(part, exact=False).first.is_visible()
    numbers = [float(n.replace("−", "-")) for n in panel.locator(".parts .number").all_text_contents()]
    score = float(logged_in.locator(".score span:not(.unseen)").first.text_content().replace("−", "-"))
    even = float(re.search(r"\((−[\d.]+)\)", panel.inner_text()).group(1).replace("−", "-"))
    assert even + sum(numbers) == pytest.approx(score, abs=0.03)
    assert set(panel.locator(".influences .name").all_text_contents()) == set(
        logged_in.locator("#basket .name").all_text_contents()
    )
    assert panel.locator(".path li").count() == 3
    _shoot(logged_in, "why")
    logged_in.keyboard.press("Escape")
    assert not panel.is_visible()


def test_two_models_stand_side_by_side(logged_in):
    _put(logged_in, "red tea")
    logged_in.select_option("#beside", "beside")
    logged_in.locator("#lists.two[aria-busy=false]").wait_for()
    one, other = _titles(logged_in), _titles(logged_in, 1)
    assert one != other
    notes = logged_in.locator(".list").first.locator(".there").all_text_contents()
    assert notes == [f"No. {other.index(t) + 1} in the other list" if t in other else "Only in this list" for t in one]
    left, right = (logged_in.locator(".list").nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]
    logged_in.locator(".list").nth(1).get_by_role("button", name=re.compile("^Why")).first.click()
    logged_in.locator(".why .path").wait_for()
    _shoot(logged_in, "two")


def test_filters_change_the_list_and_can_leave_nothing(logged_in):
    _put(logged_in, "red tea")
    logged_in.fill("#category", "no such category")
    logged_in.get_by_role("button", name="Add", exact=True).click()
    logged_in.get_by_text("No category is called").wait_for()
    logged_in.fill("#category", "teapot")
    logged_in.keyboard.press("Enter")
    logged_in.locator("#chosen .chip").wait_for()
    shown = _titles(logged_in)
    assert shown
    assert all("teapot" in title for title in shown)
    put = logged_in.locator("#basket .name").text_content()
    assert put not in shown
    logged_in.get_by_label("may come again").check()
    assert put in _titles(logged_in)
    logged_in.select_option("#k", "5")
    assert len(_titles(logged_in)) == 5
    logged_in.locator("#chosen .chip").click()
    assert logged_in.evaluate("document.activeElement.id") == "category"
    assert any("teapot" not in title for title in _titles(logged_in))


def test_a_customer_is_shown_by_id_with_the_history(logged_in, url):
    sent = [{"user_id": "ann", "item_id": i, "event": "click", "timestamp": 1_750_000_000_000} for i in ("i7", "i9")]
    answer = logged_in.request.post(
        f"{url}v1/events", data={"events": sent}, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status == 200
    logged_in.get_by_label("A customer").check()
    logged_in.get_by_text("No customer yet").wait_for()
    logged_in.fill("#customer", "ann")
    logged_in.keyboard.press("Enter")
    logged_in.get_by_role("heading", name="For customer ann").wait_for()
    assert logged_in.locator("#history .name").all_text_contents() == ["Blue tray 9", "Black grinder 7"]
    assert logged_in.get_by_role("button", name="Add to basket").count() == 0
    _shoot(logged_in, "customer")
    logged_in.fill("#customer", "nobody")
    logged_in.keyboard.press("Enter")
    logged_in.get_by_text("Nothing is known of this customer").wait_for()
    assert _titles(logged_in)[0] == HOSTILE


def test_an_endpoint_that_is_away_is_said_to_be_and_asked_again(logged_in):
    logged_in.route("**/v1/recommend", lambda route: route.abort())
    _put(logged_in, "red tea")
    logged_in.get_by_role("alert").get_by_text("The endpoint does not answer").wait_for()
    _shoot(logged_in, "away")
    busy = '{"error": "queue_full", "detail": "1000 requests are waiting already", "request_id": ""}'
    logged_in.unroute("**/v1/recommend")
    logged_in.route("**/v1/recommend", lambda route: route.fulfill(status=503, body=busy))
    logged_in.get_by_role("button", name="Try again").click()
    logged_in.get_by_text("1000 requests are waiting already").wait_for()
    logged_in.unroute("**/v1/recommend")
    logged_in.get_by_role("button", name="Try again").click()
    assert _titles(logged_in)


def test_a_search_without_a_result_says_so_and_escape_closes_it(logged_in):
    logged_in.fill("#search", "zeppelin")
    logged_in.get_by_text("No title with “zeppelin”").wait_for()
    logged_in.keyboard.press("Enter")
    assert logged_in.locator("#basket li").count() == 0
    logged_in.keyboard.press("Escape")
    assert not logged_in.locator("#found").is_visible()


def test_the_keyboard_reaches_every_control_in_order_and_shows_where_it_is(logged_in):
    _put(logged_in, "red tea")
    logged_in.locator("#change-token").focus()
    seen = []
    for _ in range(14):
        logged_in.keyboard.press("Tab")
        seen.append(logged_in.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        outline = logged_in.evaluate(
            "[document.activeElement, document.activeElement.nextElementSibling].some("
            "e => e && getComputedStyle(e).outlineStyle !== 'none')"
        )
        assert outline, f"nothing shows that {seen[-1]} has the focus"
    order = [
        "search",
        "clear-basket",
        "×",
        "category",
        "add-category",
        "keep-seen",
        "k",
        "beside",
        "Why?",
        "Add to basket",
    ]
    places = [seen.index(control) for control in order]
    assert places == sorted(places)


def test_the_answer_is_told_to_screen_readers_and_the_focus_is_not_lost(logged_in):
    _put(logged_in, "red tea")
    _titles(logged_in)
    logged_in.wait_for_function("document.getElementById('said').textContent.startsWith('For this basket: 10')")
    logged_in.get_by_role("button", name=re.compile("^Add .* to the basket")).first.click()
    logged_in.locator("#basket li:nth-child(2)").wait_for()
    _titles(logged_in)
    logged_in.wait_for_function("document.activeElement.id === 'lists'")
    logged_in.locator("#basket button").first.click()
    assert logged_in.evaluate("document.activeElement.className") == "quiet square"


@pytest.mark.parametrize("ui", ["desk", "phone"], indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen_too_small_to_touch_or_too_faint(logged_in, scheme):
    logged_in.emulate_media(color_scheme=scheme)
    logged_in.locator("#filters:not([open]) summary").evaluate_all("all => all.forEach(one => one.click())")
    _put(logged_in, "kettlelengthy")
    _put(logged_in, "red tea")
    logged_in.select_option("#beside", "beside")
    logged_in.locator("#lists.two[aria-busy=false]").wait_for()
    logged_in.get_by_role("button", name=re.compile("^Why")).first.click()
    logged_in.locator(".why .path").wait_for()
    _shoot(logged_in, f"all-{scheme}")
    width = logged_in.viewport_size["width"]
    assert logged_in.evaluate("document.documentElement.scrollWidth") == width
    outside = logged_in.locator("main *").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90))"
    )
    assert outside == []
    touched = "button, input:not([type=radio], [type=checkbox]), select, summary, label.switch, .segments label"
    small = """all => all.filter(e => e.offsetParent).map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])
        .filter(([_, box]) => box.height < 43.9 || box.width < 43.9).map(([html]) => html)"""
    assert logged_in.locator(touched).evaluate_all(small) == []
    assert [pair for pair in logged_in.evaluate(CONTRASTS) if pair[1] < 4.5] == []
    logged_in.emulate_media(color_scheme="light")


# Contrast of every text with what is behind it (WCAG 2.2, 1.4.3): elements with text of their own.
CONTRASTS = """(() => {
  const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour; }
    return [255, 255, 255]; };
  return [...document.querySelectorAll('body *')]
    .filter((e) => e.offsetParent && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((e) => { const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
      return [e.outerHTML.slice(0, 80), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; });
})()"""


def test_where_one_model_is_loaded_the_control_says_so(browser, tmp_path):
    browser.set_viewport_size({"width": 1280, "height": 900})
    with served_page(tmp_path, shelf("tiny-a", 0)) as url:
        browser.goto(url)
        browser.fill("#token-value", TOKEN)
        browser.keyboard.press("Enter")
        browser.get_by_text("Only one model is loaded").wait_for()
        assert browser.locator("#beside").is_disabled()
