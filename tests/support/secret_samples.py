"""Values that look like secrets, made here: none of them opens anything."""

import random
import string

LETTERS = string.ascii_letters + string.digits


def random_text(seed: int, length: int, letters: str = LETTERS) -> str:
    return "".join(random.Random(seed).choices(letters, k=length))


# One of each kind.
TOKENS = {
    "Hugging Face": "hf_" + "q" * 34,
    "OpenAI": "sk-proj-" + "a1" * 20,
    "Anthropic": "sk-ant-api03-" + "b2" * 20,
    "GitHub": "ghp_" + "c3" * 18,
    "GitHub, fine": "github_pat_" + "d4" * 11 + "_" + "e5" * 20,
    "GitLab": "glpat-" + "f6-" * 7,
    "Slack": "xoxb-" + "1234567890-" * 2 + "abcdef",
    "Slack app": "xoxe-1-A0-1-" + "g7" * 10,
    "AWS": "AKIA" + "H8" * 8,
    "AWS, for a session": "ASIA" + "J9" * 8,
    "Google": "AIza" + "k" * 35,
    "npm": "npm_" + "m1" * 18,
    "PyPI": "pypi-AgEIcHlwaS5vcmc" + "N2" * 40,
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl-cGFydA",
    "SendGrid": "SG." + "p3" * 11 + "." + "q4" * 21,
    "Stripe": "sk_live_" + "r5" * 12,
    "Telegram": "123456789:" + "s6-" * 11 + "tu",
    "random": random_text(1, 32),
}
