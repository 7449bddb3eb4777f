"""Words of the synthetic shop. Brands and series are invented; nothing here names a real product."""

from typing import NamedTuple


class Category(NamedTuple):
    """A category; categories of a department stand in the order in which customers need them."""

    name: str
    noun: str
    features: tuple[str, ...]
    consumable: bool = False  # bought again: variants are pack sizes, else styles
    sizes: tuple[str, ...] = ("Pack of 1", "Pack of 2", "Pack of 3", "Pack of 6", "Pack of 12", "Bulk Box")


class Brand(NamedTuple):
    name: str
    tier: int  # 0 budget, 1 mid-range, 2 premium
    voice: str
    series: tuple[str, str]


DEPARTMENTS: dict[str, tuple[Category, ...]] = {
    "Coffee & Tea": (
        Category(
            "Coffee Grinders", "Burr Coffee Grinder", ("40 grind settings", "steel conical burrs", "low-noise motor")
        ),
        Category(
            "Whole Bean Coffee",
            "Whole Bean Coffee",
            ("notes of cocoa and fig", "roasted in small batches", "washed highland arabica"),
            True,
            ("8 oz", "12 oz", "1 lb", "2 lb", "3 lb", "5 lb"),
        ),
        Category("Pour-Over Drippers", "Pour-Over Dripper", ("spiral ribs", "even extraction", "fits most carafes")),
        Category(
            "Coffee Filters",
            "Cone Coffee Filters",
            ("oxygen-bleached paper", "tear-resistant seams", "no papery taste"),
            True,
            ("40 ct", "80 ct", "100 ct", "200 ct", "400 ct", "600 ct"),
        ),
        Category(
            "Insulated Mugs", "Insulated Travel Mug", ("hot for eight hours", "leakproof lid", "fits cup holders")
        ),
        Category("Descaling Tablets", "Descaling Tablets", ("dissolves limescale", "citric formula", "odorless"), True),
    ),
    "Camping & Hiking": (
        Category("Tents", "Backpacking Tent", ("ripstop fly", "color-coded poles", "two vestibules")),
        Category("Sleeping Bags", "Mummy Sleeping Bag", ("650-fill down", "draft collar", "compression sack included")),
        Category("Sleeping Pads", "Inflatable Sleeping Pad", ("R-value 4.2", "baffled air cells", "pump sack")),
        Category(
            "Camp Stoves", "Canister Camp Stove", ("boils a liter in four minutes", "wind shield", "piezo igniter")
        ),
        Category(
            "Fuel Canisters",
            "Isobutane Fuel Canister",
            ("four-season blend", "self-sealing valve", "threaded fitting"),
            True,
            ("110 g", "230 g", "450 g", "110 g 4-Pack", "230 g 4-Pack", "450 g 4-Pack"),
        ),
        Category(
            "Camping Meals", "Freeze-Dried Trail Meal", ("just add hot water", "high protein", "light pouch"), True
        ),
    ),
    "Skin Care": (
        Category("Cleansing Brushes", "Facial Cleansing Brush", ("soft silicone bristles", "waterproof", "two speeds")),
        Category(
            "Facial Cleansers",
            "Gentle Facial Cleanser",
            ("sulfate-free foam", "with oat extract", "rinses without residue"),
            True,
            ("3 fl oz", "5 fl oz", "8 fl oz", "12 fl oz", "16 fl oz", "Refill Pouch"),
        ),
        Category(
            "Toners",
            "Hydrating Facial Toner",
            ("rose water base", "alcohol-free", "balances pH"),
            True,
            ("3 fl oz", "5 fl oz", "8 fl oz", "12 fl oz", "16 fl oz", "Refill Pouch"),
        ),
        Category("Serums", "Vitamin C Face Serum", ("15% ascorbic acid", "with ferulic acid", "evens skin tone")),
        Category(
            "Moisturizers",
            "Daily Face Moisturizer",
            ("ceramides and squalane", "fragrance-free", "absorbs quickly"),
            True,
            ("1 oz", "2 oz", "4 oz", "6 oz", "8 oz", "Refill Pod"),
        ),
        Category("Sunscreens", "Mineral Sunscreen SPF 50", ("zinc oxide", "no white cast", "water-resistant")),
    ),
    "Dog Supplies": (
        Category("Dog Beds", "Orthopedic Dog Bed", ("memory foam core", "washable cover", "non-slip bottom")),
        Category("Dog Harnesses", "No-Pull Dog Harness", ("padded chest plate", "reflective trim", "front clip")),
        Category("Dog Leashes", "Dog Leash", ("neoprene handle", "swivel hook", "six feet long")),
        Category("Chew Toys", "Durable Chew Toy", ("natural rubber", "cleans teeth", "floats in water")),
        Category(
            "Training Treats",
            "Soft Training Treats",
            ("three calories each", "single-source protein", "grain-free"),
            True,
            ("4 oz", "6 oz", "10 oz", "16 oz", "24 oz", "Variety Box"),
        ),
        Category(
            "Dry Dog Food",
            "Dry Dog Food",
            ("real chicken first", "omega-3 for the coat", "no artificial colors"),
            True,
            ("4 lb", "8 lb", "15 lb", "24 lb", "30 lb", "40 lb"),
        ),
    ),
    "Home Office": (
        Category("Standing Desks", "Electric Standing Desk", ("dual motors", "memory presets", "anti-collision stop")),
        Category("Monitor Arms", "Gas Spring Monitor Arm", ("holds 20 pounds", "VESA mount", "full motion")),
        Category("Desk Lamps", "LED Desk Lamp", ("stepless dimming", "flicker-free light", "USB charging port")),
        Category("Desk Mats", "Large Desk Mat", ("stitched edges", "spill-resistant", "non-slip backing")),
        Category("Gel Pens", "Retractable Gel Pens", ("quick-drying ink", "0.5 mm tip", "soft grip"), True),
        Category("Notebooks", "Dotted Notebook", ("120 gsm paper", "lay-flat binding", "numbered pages"), True),
    ),
    "Baking": (
        Category("Stand Mixers", "Tilt-Head Stand Mixer", ("ten speeds", "planetary action", "500-watt motor")),
        Category("Mixing Bowls", "Nesting Mixing Bowls", ("measurement marks", "pour spouts", "airtight lids")),
        Category("Cake Pans", "Springform Cake Pan", ("heavy-gauge steel", "leakproof base", "even browning")),
        Category("Baking Mats", "Silicone Baking Mat", ("printed guides", "oven-safe to 480 F", "rolls up small")),
        Category(
            "Bread Flour",
            "Stone-Ground Bread Flour",
            ("13% protein", "unbleached", "milled from hard red wheat"),
            True,
            ("2 lb", "3 lb", "5 lb", "10 lb", "25 lb", "50 lb"),
        ),
        Category(
            "Vanilla Extract",
            "Pure Vanilla Extract",
            ("double-fold strength", "Bourbon beans", "no added sugar"),
            True,
            ("1 fl oz", "2 fl oz", "4 fl oz", "8 fl oz", "16 fl oz", "32 fl oz"),
        ),
    ),
}

BRANDS: tuple[Brand, ...] = (
    Brand("Northfell", 2, "Built by guides who spend two hundred nights a year outside.", ("Ridgeline", "Tundra")),
    Brand("Willow & Rye", 1, "Made in small batches by a family workshop that signs every box.", ("Hearth", "Orchard")),
    Brand("Plainform", 0, "Nothing you do not need, at a price you will not think about.", ("Basic", "Everyday")),
    Brand("Aurelle", 2, "Quiet luxury for people who notice the details.", ("Lumina", "Velours")),
    Brand("Kestrel Works", 1, "Engineered, tested to failure, then engineered again.", ("Talon", "Updraft")),
    Brand("Happy Fern", 0, "Cheerful things for busy homes!", ("Sprout", "Sunny")),
    Brand("Moss Harbor", 1, "Recycled where we can, repairable where it counts.", ("Tidal", "Lichen")),
    Brand("Ironbark", 2, "Overbuilt on purpose and backed for life.", ("Granite", "Stockman")),
)

STYLES: tuple[str, ...] = ("Graphite", "Forest Green", "Cream", "Cobalt Blue", "Terracotta", "Plum")

ADJECTIVES: tuple[tuple[str, ...], ...] = (  # by tier
    ("Simple", "Value", "Compact", "Starter"),
    ("Classic", "Reliable", "Versatile", "Improved"),
    ("Professional", "Signature", "Premium", "Expedition-Grade"),
)

PRAISE: tuple[str, ...] = (
    "Exactly as described",
    "Would buy again",
    "Better than expected",
    "Does the job",
    "A favorite",
)
COMPLAINTS: tuple[str, ...] = ("Not for me", "Arrived late", "Smaller than it looks", "Broke within a month")
