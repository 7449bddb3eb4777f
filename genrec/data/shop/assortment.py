"""What the synthetic shop sells, and which item calls for which next."""

from dataclasses import dataclass

import numpy as np

from genrec.data.shop.vocabulary import ADJECTIVES, BRANDS, DEPARTMENTS, STYLES, Brand, Category

BRANDS_PER_DEPARTMENT = 4
FOLLOWING = (0.60, 0.25)  # share of the needs that go to the next category of the department, and to the one after
DAYS = 730.0


@dataclass(frozen=True)
class Assortment:
    """Items as parallel arrays of length n, and the two directed relations between them.

    follows[i, j] float32: how strongly item i calls for j next (a complement: the next category of need, in the same
    brand, series and style where there is one). refills[i, j] float32: j is another pack size of the consumable i.
    """

    category: np.ndarray  # int, place in `categories`
    brand: np.ndarray  # int, place in BRANDS
    series: np.ndarray  # 0 or 1, series of the brand
    variant: np.ndarray  # style, or pack size of a consumable
    popularity: np.ndarray  # float, Zipf weights that add up to 1
    launch_day: np.ndarray  # float, days from the opening of the shop
    categories: tuple[tuple[str, Category], ...]  # (department, category)
    follows: np.ndarray
    refills: np.ndarray

    @property
    def department(self) -> np.ndarray:
        """int [n], number of the item's department."""
        return department_numbers()[self.category]

    @property
    def tier(self) -> np.ndarray:
        """int [n], price tier of the item's brand."""
        return np.array([brand.tier for brand in BRANDS])[self.brand]

    def item_id(self, item: int) -> str:
        return f"B{item:07d}"


def department_numbers() -> np.ndarray:
    """int [num_categories], the department of every category."""
    return np.repeat(np.arange(len(DEPARTMENTS)), [len(c) for c in DEPARTMENTS.values()])


def assort(num_items: int, rng: np.random.Generator) -> Assortment:
    """Draw an assortment of `num_items` items."""
    categories = tuple((name, c) for name, group in DEPARTMENTS.items() for c in group)
    offers = _offers(categories)
    chosen = offers[np.sort(rng.permutation(len(offers))[:num_items])]
    category, brand, series, variant = chosen.T
    ranks = rng.permutation(num_items) + 1.0
    popularity = ranks**-0.55
    # A quarter of the assortment arrives while the shop is open, the rest is there on the first day.
    launch_day = np.where(rng.random(num_items) < 0.25, rng.uniform(0, 0.7 * DAYS, num_items), 0.0)
    follows, refills = _relations(category, brand, series, variant, categories)
    return Assortment(
        category, brand, series, variant, popularity / popularity.sum(), launch_day, categories, follows, refills
    )


def max_items() -> int:
    """How many different items the vocabulary can name."""
    return len(_offers(tuple((name, c) for name, group in DEPARTMENTS.items() for c in group)))


def _offers(categories: tuple[tuple[str, Category], ...]) -> np.ndarray:
    """Every possible item: int [n, 4] of category, brand, series, variant."""
    departments = department_numbers()
    rows = [
        (c, (departments[c] * 3 + b) % len(BRANDS), s, v)
        for c in range(len(categories))
        for b in range(BRANDS_PER_DEPARTMENT)
        for s in range(2)
        for v in range(len(STYLES))
    ]
    return np.array(rows)


def _relations(
    category: np.ndarray,
    brand: np.ndarray,
    series: np.ndarray,
    variant: np.ndarray,
    categories: tuple[tuple[str, Category], ...],
) -> tuple[np.ndarray, np.ndarray]:
    need = _needs(categories)
    consumable = np.array([c.consumable for _, c in categories])[category]
    same_brand = brand[:, None] == brand[None, :]
    same_line = same_brand & (series[:, None] == series[None, :])
    both_styled = ~consumable[:, None] & ~consumable[None, :]
    same_style = (variant[:, None] == variant[None, :]) & both_styled
    fit = np.where(same_line, 12.0, np.where(same_brand, 3.0, 0.3)) * np.where(same_style, 5.0, 1.0)
    follows = (need[category[:, None], category[None, :]] * fit).astype(np.float32)
    same_product = same_line & (category[:, None] == category[None, :]) & consumable[:, None]
    refills = (same_product & ~np.eye(len(category), dtype=bool)).astype(np.float32)
    return follows, refills


def _needs(categories: tuple[tuple[str, Category], ...]) -> np.ndarray:
    """float [num_categories, num_categories]: after category a comes category b. Directed, also across departments."""
    number = len(categories)
    departments = department_numbers()
    need = np.zeros((number, number))
    for a in range(number):
        first = int(np.searchsorted(departments, departments[a]))
        size = int((departments == departments[a]).sum())
        for step, share in enumerate(FOLLOWING, start=1):
            need[a, first + (a - first + step) % size] = share
        need[a, (a + size + 2) % number] = 1 - sum(FOLLOWING)
    return need


# ---- texts ------------------------------------------------------------------------------------------------------------


def metadata(goods: Assortment, item: int, rng: np.random.Generator) -> dict[str, object]:
    """The item's record in the layout of Amazon Reviews 2023 metadata."""
    department, category = goods.categories[goods.category[item]]
    brand: Brand = BRANDS[goods.brand[item]]
    series = brand.series[goods.series[item]]
    variants = category.sizes if category.consumable else STYLES
    variant = variants[goods.variant[item]]
    adjective = ADJECTIVES[brand.tier][int(rng.integers(len(ADJECTIVES[brand.tier])))]
    needed = np.argsort(-goods.follows[item], kind="stable")[0]
    companion = goods.categories[goods.category[needed]][1].noun
    title = f"{brand.name} {series} {adjective} {category.noun}, {variant}"
    price = round(float((8 + 4 * (goods.category[item] % 7)) * (1 + brand.tier) * rng.uniform(0.9, 1.1)), 2)
    first, second = rng.permutation(len(category.features))[:2]
    return {
        "main_category": department,
        "title": title,
        "average_rating": round(float(3.4 + 0.5 * brand.tier + 0.2 * rng.random()), 1),
        "rating_number": 1 + int(goods.popularity[item] * 100_000),
        "features": [f"{feature[0].upper()}{feature[1:]}" for feature in category.features],
        "description": [
            f"{brand.voice} The {series} {category.noun.lower()} comes with {category.features[first]} and "
            f"{category.features[second]}.",
            f"Goes well with the {brand.name} {series} {companion.lower()}.",
        ],
        "price": price,
        "store": brand.name,
        "categories": [department, category.name],
        "details": {"Series": series, "Size" if category.consumable else "Color": variant},
        "parent_asin": goods.item_id(item),
    }
