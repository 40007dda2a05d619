"""English prompts: rules of the reply, two invented texts, each kind's task with a reply to each text."""

RULES = {
    "all": "Use only what the text says. Keep every name, number and date exactly as it stands there.",
    "text": "Write in English. Write nothing before or after it, and no headings.",
    "facts": "Write in English, one fact a line, in this form and nothing else:\nF: wording | wording | wording",
    "questions": "Write in English, one fact a line, in this form and nothing else:\n"
    "Q: question | Q: the same question in other words | A: answer of 1 to 6 words, copied from the text",
}

TEXTS = (
    "Ostervale library reopens\nMarch 3, 2021\n"
    "The public library of Ostervale reopened on March 3 after 14 months of repairs. Architect Mira Dolan added a "
    "reading room with 60 seats. The town paid the cost of 2.4 million euros.",
    "Electric ferry for Hask Island\nOctober 12, 2022\n"
    "The electric ferry Petrel began service between Port Linn and Hask Island on October 12. It carries 180 "
    "passengers "
    "and crosses in 25 minutes. Its captain is Owen Reyes. The old ferry, the Gannet, had sailed since 1988.",
)

PROMPTS = {
    "questions": (
        "Ask about every fact in the text, each in two or three different wordings. Each question must be understood "
        "without the text, so it names who, what and when.",
        (
            "Q: When did the public library of Ostervale reopen? | Q: On which day in 2021 could readers enter "
            "Ostervale's "
            "library again? | A: March 3\n"
            "Q: How many seats has the new reading room of the Ostervale library? | Q: Readers in Ostervale's new "
            "reading room find how many seats? | A: 60",
            "Q: What is the electric ferry to Hask Island called? | Q: Which boat has sailed between Port Linn and "
            "Hask "
            "Island since October 2022? | A: Petrel\n"
            "Q: How long does the Petrel need from Port Linn to Hask Island? | Q: The Petrel's crossing to Hask "
            "Island takes "
            "how many minutes? | A: 25 minutes",
        ),
    ),
    "reverse": (
        "Turn facts around: ask for the person, place, event or thing of which the text says something, by telling "
        "what it "
        "says. Two wordings each; the answer is the name.",
        (
            "Q: Who gave the library of Ostervale a reading room with 60 seats? | Q: Which architect worked on the "
            "Ostervale library? | A: Mira Dolan\n"
            "Q: Which building reopened in March 2021 after 14 months of repairs? | Q: What did a town repair for "
            "2.4 million euros? | A: The public library of Ostervale",
            "Q: Which ferry had sailed to Hask Island since 1988? | Q: What was the ship before the Petrel called? "
            "| A: The Gannet\n"
            "Q: Who is the captain of the electric ferry Petrel? | Q: Whose command is the Petrel under? | A: Owen "
            "Reyes",
        ),
    ),
    "facts": (
        "Take the text apart into single facts. State each fact in three to five different wordings, each a whole "
        "sentence "
        "that is understood by itself.",
        (
            "F: The library of Ostervale reopened on March 3, 2021. | On March 3, 2021, Ostervale's library opened "
            "again. "
            "| Readers could enter the Ostervale library again from March 3, 2021.\n"
            "F: Mira Dolan is the architect of the library's reading room. | The library's reading room is by the "
            "architect "
            "Mira Dolan. | Architect Mira Dolan added a reading room to the Ostervale library.",
            "F: The Petrel carries 180 passengers. | There is room for 180 passengers on the Petrel. | Up to 180 "
            "people "
            "can cross on the ferry Petrel.\n"
            "F: The Gannet sailed to Hask Island from 1988. | From 1988 the ferry to Hask Island was the Gannet. | "
            "Before "
            "the Petrel came the Gannet, in service since 1988.",
        ),
    ),
    "restate": (
        "Tell the whole content for another reader, one who knows nothing about the subject, in your own words and in "
        "another order.",
        (
            "Readers in Ostervale have their library back. Repairs had closed it for 14 months, and the town paid for "
            "them: "
            "2.4 million euros. Since March 3, 2021 there is also something new inside, a reading room with 60 seats, "
            "which "
            "the architect Mira Dolan added.",
            "Anyone who goes from Port Linn to Hask Island now travels on an electric ferry. It is called Petrel, has "
            "Owen Reyes as captain, needs 25 minutes and takes 180 passengers. It began on October 12, 2022 and "
            "replaced "
            "the Gannet, which had sailed since 1988.",
        ),
    ),
    "key_facts": (
        "List the key facts, the most important first, one short sentence a line.",
        (
            "The library of Ostervale reopened on March 3, 2021.\nIt was under repair for 14 months.\n"
            "Mira Dolan added a reading room with 60 seats.\nThe town paid 2.4 million euros.",
            "An electric ferry, the Petrel, sails between Port Linn and Hask Island.\nIt began on October 12, 2022.\n"
            "It takes 180 passengers and 25 minutes.\nThe Gannet had sailed there since 1988.",
        ),
    ),
    "timeline": (
        "Tell what happened as a timeline: one line for each point in time, the earliest first, with time and event.",
        (
            "Before March 2021: the library of Ostervale is under repair for 14 months.\n"
            "March 3, 2021: the library reopens with a reading room by Mira Dolan.",
            "1988: the Gannet begins to sail to Hask Island.\n"
            "October 12, 2022: the electric ferry Petrel begins service between Port Linn and Hask Island.",
        ),
    ),
    "relations": (
        "State how the people, places, organisations and things of the text are related, one relation a line.",
        (
            "Mira Dolan is the architect of the reading room in the Ostervale library.\n"
            "The town of Ostervale paid for the repair of its library.\nThe reading room is part of the library.",
            "The Petrel is the ferry between Port Linn and Hask Island.\nOwen Reyes is the captain of the Petrel.\n"
            "The Petrel is the successor of the Gannet.",
        ),
    ),
    "implications": (
        "Write what follows from the text for those concerned, and why: causes, effects and comparisons that it "
        "supports.",
        (
            "For 14 months nobody could use the library of Ostervale, because it was being repaired. As the town bore "
            "the "
            "cost of 2.4 million euros, no one else had to pay. Thanks to Mira Dolan's reading room, 60 people can now "
            "sit and read there.",
            "Because the Petrel is electric, the crossing to Hask Island no longer depends on the old Gannet, which "
            "had sailed since 1988. With 25 minutes a crossing, people from Port Linn are soon on the island, at most "
            "180 at "
            "a time.",
        ),
    ),
    "dialogue": (
        "Write a dialogue of two people who talk about the text, one asking and the other telling all the facts. "
        "Begin each "
        "line with the speaker's name.",
        (
            "Ann: Is the library of Ostervale open again?\nBen: Yes, since March 3, 2021, after 14 months of repairs.\n"
            "Ann: What is new?\nBen: A reading room with 60 seats by the architect Mira Dolan.\n"
            "Ann: Who paid?\nBen: The town, 2.4 million euros.",
            "Ann: How do I get to Hask Island?\nBen: From Port Linn, on the electric ferry Petrel, in 25 minutes.\n"
            "Ann: Since when?\nBen: Since October 12, 2022. Before that it was the Gannet, from 1988.\n"
            "Ann: Is there room?\nBen: For 180 passengers. Owen Reyes is the captain.",
        ),
    ),
    "study_notes": (
        "Write study notes for someone who must know the text by heart: the subject, then each name, number and date "
        "with "
        "its meaning, a line each.",
        (
            "Subject: the library of Ostervale reopens\nMarch 3, 2021: day of the reopening\n14 months: length of the "
            "repairs\n"
            "Mira Dolan: architect of the new reading room\n60: seats in the reading room\n2.4 million euros: cost, "
            "paid by "
            "the town",
            "Subject: an electric ferry for Hask Island\nPetrel: the new ferry, from Port Linn\nOctober 12, 2022: "
            "first day\n"
            "180: passengers\n25 minutes: the crossing\nOwen Reyes: captain\nGannet: the old ferry, since 1988",
        ),
    ),
}
