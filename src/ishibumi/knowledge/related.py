"""Which documents speak of the same people, places and things. [Document] → for each its nearest others.

Documents are near where both often have a name that few have: the product of their tf-idf weights without lengths,
(1 + log count) · log(documents / documents that have the name), summed over names (Salton and Buckley 1988). Names that
very many have («World Cup» in news of one) count for nothing.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.checks import telling_words

MAX_RELATED = 3
ALWAYS_TELLING = 3  # a name that no more documents have counts in any case


def related_documents(documents: Sequence[Document]) -> Mapping[str, tuple[Document, ...]]:
    """For the id of each document up to three others of its language that share names with it, the nearest first."""
    by_language: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        by_language[document.language].append(document)
    return {id: others for own in by_language.values() for id, others in _nearest(own)}


def _nearest(documents: Sequence[Document]) -> list[tuple[str, tuple[Document, ...]]]:
    counts = [Counter(telling_words(f"{d.title or ''}\n{d.text}")) for d in documents]
    having: dict[str, list[int]] = defaultdict(list)
    for number, names in enumerate(counts):
        for name in names:
            having[name].append(number)
    most = max(ALWAYS_TELLING, 2 * math.sqrt(len(documents)))
    rarity = {name: math.log(len(documents) / len(held)) for name, held in having.items() if len(held) <= most}
    nearest: list[tuple[str, tuple[Document, ...]]] = []
    for number, names in enumerate(counts):
        nearness: dict[int, float] = defaultdict(float)
        for name in names.keys() & rarity.keys():
            weight = rarity[name] ** 2 * (1 + math.log(names[name]))
            for other in having[name]:
                nearness[other] += weight * (1 + math.log(counts[other][name]))
        # To twelve digits, for a set's order differs from process to process and with it the last bits of a sum.
        order = sorted(nearness, key=lambda other: (-float(f"{nearness[other]:.12g}"), other))
        others = [documents[other] for other in order if other != number and nearness[other] > 0]
        nearest.append((documents[number].id, tuple(others[:MAX_RELATED])))
    return nearest
