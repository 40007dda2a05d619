"""Word lists written as one string, so that they stay readable."""


def words(text: str) -> tuple[str, ...]:
    """The words of a text with spaces between them."""
    return tuple(text.split())
