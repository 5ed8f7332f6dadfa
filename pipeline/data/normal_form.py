"""When two texts are one: their letters are the same, whatever their case, white space and Unicode form."""

import unicodedata


def normal_form(text: str) -> str:
    """Write a text as every text that is equal to it is written: NFKC, case folded, words apart by one space.

    Case counts among what does not matter: many models never see it, and collections that were put together by hand
    ask one question in several (MedQuAD does so 611 times).
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Folding may take a text out of its Unicode form.
    return " ".join(unicodedata.normalize("NFKC", folded).split())
