"""Near duplicates by MinHash: texts → sketches, a row each → which text repeats which earlier one.

Two texts are as alike as the share that their pieces of five characters have in common (Jaccard). A sketch is 256
numbers; two sketches agree in about that share of them. Texts are compared only if four numbers in succession agree
somewhere, in one of 64 bands: 1 - (1 - 0.5⁴)⁶⁴ = 98 % of the texts that are alike by 0.5, 0.6 % of those by 0.1.
"""

from collections.abc import Iterator, Sequence

import numpy as np

PIECE = 5
NUMBERS = 256
BAND = 4  # of 16 bits, so that the numbers of a band are one integer of 64 bits
PARTNERS = 4  # so many earlier texts are remembered; boilerplate would make partners of everything
_EMPTY = np.uint32(0xFFFFFFFF)
# Random and odd. (Multiples of one constant would make a hash of a weighted sum, and "ab" and others would be one.)
_FACTORS = np.random.default_rng(20241126).integers(2**63, 2**64, PIECE, dtype=np.uint64) | np.uint64(1)
_MIX = np.uint64(0xD6E8FEB86659FD93)


def sketches(texts: Sequence[str]) -> np.ndarray:
    """(texts, NUMBERS) uint16. Each piece falls into one bin by its hash, and each bin keeps its least one.

    A text shorter than a piece is one, filled up: it is like itself and no other.
    """
    if not texts:
        return np.zeros((0, NUMBERS), dtype=np.uint16)
    texts = [text.ljust(PIECE, "\0") for text in texts]
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    num_pieces = lengths - PIECE + 1
    size = len(letters) - PIECE + 1
    hashes = letters[:size] * _FACTORS[0]
    for n in range(1, PIECE):
        hashes += letters[n : n + size] * _FACTORS[n]
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MIX
    starts = np.cumsum(lengths) - lengths
    of_text = np.repeat(np.arange(len(texts)), num_pieces)
    first = np.cumsum(num_pieces) - num_pieces
    at = np.arange(len(of_text)) - first[of_text] + starts[of_text]  # pieces that lie in one text
    hashes = hashes[at]
    bins = of_text * NUMBERS + (hashes >> np.uint64(56)).astype(np.int64)
    least = np.full(len(texts) * NUMBERS, _EMPTY)
    np.minimum.at(least, bins, (hashes >> np.uint64(24)).astype(np.uint32))
    return _filled(least.reshape(len(texts), NUMBERS)).astype(np.uint16)


def _filled(least: np.ndarray) -> np.ndarray:
    """Empty bins, which short texts have, take what stands to their left, changed by how far that is."""
    for _ in range(NUMBERS):
        empty = least == _EMPTY
        if not empty.any():
            break
        taken = np.roll(least, 1, axis=1)
        least = np.where(empty & (taken != _EMPTY), taken * np.uint32(2654435761) + np.uint32(1), least)
    return least


def near_duplicates(rows: np.ndarray, least: float) -> dict[int, tuple[int, float]]:
    """The texts that are alike by `least` or more to an earlier one that stays: number → (that one's, how alike).

    `rows` are the sketches of all texts in their order. Time and memory are linear in their number, whatever they hold.
    """
    partners = _partners(rows, least)
    removed: dict[int, tuple[int, float]] = {}
    for number in np.flatnonzero(partners[:, 0] >= 0):
        for early in sorted(int(n) for n in partners[number] if n >= 0):
            first = removed[early][0] if early in removed else early
            alike = float((rows[number] == rows[first]).mean())
            if alike >= least:
                removed[int(number)] = first, alike
                break
    return removed


def _partners(rows: np.ndarray, least: float) -> np.ndarray:
    """(texts, PARTNERS): for each text earlier ones that are alike by `least`, -1 where there are fewer."""
    partners = np.full((len(rows), PARTNERS), -1)
    counts = np.zeros(len(rows), dtype=np.int64)
    for band in range(0, NUMBERS, BAND):
        for late, early in _pairs(np.ascontiguousarray(rows[:, band : band + BAND]).view(np.uint64).ravel()):
            new = (counts[late] < PARTNERS) & ~(partners[late] == early[:, None]).any(axis=1)
            late, early = late[new], early[new]
            alike = (rows[late] == rows[early]).mean(axis=1) >= least
            late, early = late[alike], early[alike]
            partners[late, counts[late]] = early
            counts[late] += 1
    return partners


def _pairs(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(later, earlier) texts with the same key: each with the first of all and with those just before it.

    No text is twice the later one in what is yielded at once, which is 2 × 65,536 sketches at most: 64 MB.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.r_[True, ordered[1:] != ordered[:-1]]
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(keys)), 0))
    for back in range(PARTNERS):
        late = np.flatnonzero(np.arange(len(keys)) - back > first)
        early = late - back if back else first[late]
        for start in range(0, len(late), 2**16):
            yield order[late[start : start + 2**16]], order[early[start : start + 2**16]]
