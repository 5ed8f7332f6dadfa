"""Numbers of things in words."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write a number of things: `1 query`, `1,200 queries`.

    Args:
        number: How many.
        one: What one is called.
        many: What several are called; None: an s more.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def counted_queries(number: int) -> str:
    """Write a number of queries."""
    return counted(number, "query", "queries")
