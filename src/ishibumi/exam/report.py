"""report.html: one file that opens without a network. ReportData → page."""

import base64
import hashlib
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ishibumi.corpus.documents import Document
from ishibumi.exam.evaluate import Answer
from ishibumi.exam.forgetting import Perplexity, compared
from ishibumi.exam.free import FreeAnswer, count_figures, known_figures
from ishibumi.exam.questions import GENERATED, TRAINING, Question
from ishibumi.exam.report_charts import loss_curve
from ishibumi.exam.report_text import TEXT
from ishibumi.exam.summary import ASKED, DOCUMENT_ONLY, split_sizes

Row = Mapping[str, Any]
ARMS = ("engraved", "base", "gold_passage", "retrieval", "engraved_retrieval")
# Perplexity after / before from which the page speaks of a little and of much forgetting.
SOME_FORGETTING, MUCH_FORGETTING = 1.05, 1.15


@dataclass(frozen=True)
class ReportData:
    """Everything that the page shows; what a run does not have stays empty and its section is left out.

    `arms` is what `summarise` returned, `skills` what `summarise_skills` did; `history` and `proof` map a stage to its
    rows (StepRecord fields; the rows of prove_trained), `epoch_steps` to the steps in which its epochs end;
    `perplexities` maps "before" and "after" to perplexities by language; `written` maps what a model was asked for to
    (texts kept, texts made), `refused` reasons to numbers of generated texts; `settings` are (key, value, origin);
    `seconds` maps stages to time; `notes` are (English, Japanese).
    """

    title: str
    language: str
    created: str
    model: str
    recipe: str
    documents: Sequence[Document]
    questions: Sequence[Question] = ()
    answers: Sequence[Answer] = ()
    arms: Mapping[str, Row] = field(default_factory=dict[str, Row])
    history: Mapping[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    epoch_steps: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    perplexities: Mapping[str, Mapping[str, Perplexity]] = field(default_factory=dict[str, Mapping[str, Perplexity]])
    skills: Mapping[str, Any] = field(default_factory=dict[str, Any])
    proof: Mapping[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    free: Sequence[FreeAnswer] = ()
    written: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    refused: Mapping[str, int] = field(default_factory=dict[str, int])
    settings: Sequence[tuple[str, str, str]] = ()
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    notes: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class DocumentResult:
    """One document with its questions and the replies of every arm."""

    document: Document
    answered: list[tuple[Question, dict[str, Answer]]]

    @property
    def learned(self) -> list[bool]:
        """Whether the engraved model has each of its questions right, without those of training."""
        asked = [by_arm for question, by_arm in self.answered if question.split != TRAINING]
        return ["engraved" in by_arm and by_arm["engraved"].contains for by_arm in asked]


@dataclass(frozen=True)
class ProofGroup:
    """Matrices of one kind over all layers."""

    name: str
    kind: str
    count: int
    parameters: int
    learning_rate: float
    moved: tuple[float, float, float]  # smallest, median, largest


def render_report(data: ReportData) -> str:
    """The page as HTML."""
    return render_page(
        "report.html.jinja",
        data=data,
        notes=[_spans(*note) for note in data.notes],
        free_count=count_figures(data.free, data.answers),
        known_figures=known_figures(data.free, data.answers),
        arm_names=[arm for arm in ARMS if arm in data.arms],
        differences=[(arm, other, row) for arm in data.arms for other, row in data.arms[arm]["differences"].items()],
        split_sizes=split_sizes(data.arms),
        headline=_headline(data.arms),
        verdicts=_verdicts(data),
        curves=[loss_curve(name, rows, data.epoch_steps.get(name, ())) for name, rows in data.history.items() if rows],
        forgetting=compared(data.perplexities),
        skills=skill_rows(data.skills),
        results=document_results(data.documents, data.questions, data.answers),
        proof=[(stage, proof_groups(rows)) for stage, rows in data.proof.items()],
    )


def render_page(template: str, **values: object) -> str:
    """A page that loads nothing, in both languages. Titles, replies and all other texts of the run are escaped."""
    environment = Environment(
        loader=PackageLoader("ishibumi.exam"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (percent, points, rate, duration, percent_fine)
    environment.filters |= {function.__name__: function for function in filters}
    script = _template_text("report.js")
    return environment.get_template(template).render(
        **values,
        t=both_languages,
        texts=TEXT,
        label=label,
        style=Markup(_template_text("report.css")),
        script=Markup(script),
        # Only this very script may run, whatever a reply contains.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _template_text(name: str) -> str:
    return (resources.files("ishibumi.exam") / "templates" / name).read_text(encoding="utf-8")


def both_languages(key: str, /, **values: object) -> Markup:
    """A sentence in both languages, of which the page shows one; `values` are escaped."""
    english, japanese = (Markup(text).format(**values) for text in TEXT[key])
    return _spans(english, japanese)


def _spans(english: str, japanese: str) -> Markup:
    return Markup('<span class="en" lang="en">{}</span><span class="ja" lang="ja">{}</span>').format(english, japanese)


def label(group: str, name: str) -> Markup:
    """The name of a kind, stage or language in both languages, or as it is if the page has no word for it.

    What stands after a colon («no reply from the endpoint: HTTP 500») is told as it is.
    """
    head, colon, rest = name.partition(": ")
    key = f"{group}_{head}" if group else head
    return (both_languages(key) if key in TEXT else escape(head)) + colon + rest


def percent(share: float) -> str:
    """«63%»; «0.4%» where rounding would hide that it is not nothing."""
    value = 100 * share
    return f"{value:.1f}%" if 0 < value < 1 or 99 < value < 100 else f"{value:.0f}%"


def points(difference: float) -> str:
    """A difference of shares in points: «+25», «−3»."""
    return f"{100 * difference:+.0f}".replace("-", "−")


def percent_fine(share: float) -> str:
    """A percentage in two figures, however small: «2.3%», «0.041%»."""
    return f"{100 * share:#.2g}".rstrip(".") + "%"


def rate(value: float) -> str:
    """A learning rate or a small share: 5e-4, 0.012."""
    written = f"{value:.2g}" if value >= 0.001 or value == 0 else f"{value:.2e}"
    return re.sub(r"\.?0*e-0?", "e-", written)


def duration(seconds: float) -> Markup:
    """Seconds as people say them."""
    whole = round(seconds)
    if whole < 1:
        return both_languages("under_a_second")
    if whole < 60:
        return both_languages("seconds", n=whole)
    if whole < 3600:
        return both_languages("minutes", m=whole // 60, s=whole % 60)
    return both_languages("hours", h=whole // 3600, m=whole % 3600 // 60)


def _range(interval: Row) -> str:
    return f"{100 * interval['low']:.0f}–{100 * interval['high']:.0f}%"


def _headline(arms: Mapping[str, Row]) -> tuple[Markup, Markup]:
    """The result in one sentence, and its intervals."""
    if "engraved" not in arms:
        return both_languages("headline_none"), Markup("")
    after = arms["engraved"]["all"]
    figure = Markup("<strong>{}</strong>").format(percent(after["contains"]["mean"]))
    size = {"n": after["n"], "documents": after["num_documents"]}
    if "base" not in arms:
        detail = both_languages("headline_interval_after", after=_range(after["contains"]), **size)
        return both_languages("headline_after", after=figure), detail
    before = arms["base"]["all"]["contains"]
    detail = both_languages("headline_interval", after=_range(after["contains"]), before=_range(before), **size)
    return both_languages("headline_both", after=figure, before=percent(before["mean"])), detail


def _verdicts(data: ReportData) -> list[Markup]:
    """What the figures mean, in plain words, the unwelcome ones included."""
    found: list[Markup] = []
    if "engraved" in data.arms:
        engraved = data.arms["engraved"]
        found += [both_languages("generated_exam")] if engraved["split"] == GENERATED else []
        found += [*_gain(engraved), *_split(engraved["by_asked"]), *_wording(engraved)]
        found += [*_known_before(engraved), *_against_search(data.arms), *_honest(engraved["honesty"])]
    ratios = [ratio for *_, ratio in compared(data.perplexities)]
    if ratios:
        worst = max(ratios)
        words = "none" if worst <= SOME_FORGETTING else "some" if worst <= MUCH_FORGETTING else "much"
        found.append(both_languages(f"forgot_{words}", ratio=f"{worst:.2f}"))
    else:
        found.append(both_languages("forgot_unknown"))
    if "engraved" in data.arms:
        found.append(both_languages("stops", share=percent(data.arms["engraved"]["all"]["stopped"])))
    return found


def _gain(engraved: Row) -> list[Markup]:
    if "base" not in engraved["differences"]:
        return []
    change = engraved["differences"]["base"]
    key = "gain_clear" if change["low"] > 0 else "gain_loss" if change["high"] < 0 else "gain_none"
    sign = -1 if key == "gain_loss" else 1
    low, high = sorted(sign * 100 * change[end] for end in ("low", "high"))
    return [both_languages(key, points=f"{sign * 100 * change['mean']:.0f}", low=f"{low:.0f}", high=f"{high:.0f}")]


def _split(by_asked: Row) -> list[Markup]:
    if not {ASKED, DOCUMENT_ONLY} <= set(by_asked):
        return []
    shares = {name: percent(by_asked[name]["contains"]["mean"]) for name in (ASKED, DOCUMENT_ONLY)}
    return [both_languages("split", **shares)]


def _wording(engraved: Row) -> list[Markup]:
    by_split = engraved["by_split"]
    if TRAINING not in by_split or engraved["split"] == TRAINING:
        return []
    shares = {"training": by_split[TRAINING], "main": engraved["all"]}
    return [both_languages("training_wording", **{k: percent(row["contains"]["mean"]) for k, row in shares.items()})]


def _known_before(engraved: Row) -> list[Markup]:
    known = engraved["known_before"]
    if not known or not known["n"] or not known["without"]:
        return []
    share = percent(known["without"]["contains"]["mean"])
    return [both_languages("known_before", known=known["n"], n=engraved["all"]["n"], share=share)]


def _honest(honesty: Row) -> list[Markup]:
    should, should_not = honesty["refused_unanswerable"], honesty["refused_answerable"]
    if not should or not should_not:
        return []
    return [both_languages("honest", should=percent(should["mean"]), should_not=percent(should_not["mean"]))]


def _against_search(arms: Mapping[str, Row]) -> list[Markup]:
    if "retrieval" not in arms:
        return []
    difference = arms["engraved"]["differences"]["retrieval"]
    apart = "worse" if difference["low"] > 0 else "better" if difference["high"] < 0 else "same"
    sign = -1 if apart == "better" else 1
    low, high = sorted(sign * 100 * difference[end] for end in ("low", "high"))
    figures = {"points": f"{sign * 100 * difference['mean']:.0f}", "low": f"{low:.0f}", "high": f"{high:.0f}"}
    return [
        both_languages(f"search_{apart}", retrieval=percent(arms["retrieval"]["all"]["contains"]["mean"]), **figures)
    ]


def skill_rows(skills: Mapping[str, Any]) -> list[tuple[str, int, str, str, str]]:
    """(name, n, before, after, interval) of what else was measured; names are keys of TEXT."""
    rows: list[tuple[str, int, str, str, str]] = []
    if row := skills.get("choices"):
        change = row["difference"]
        told = f"{points(change['mean'])} [{points(change['low'])} … {points(change['high'])}]"
        rows.append(("skill_choices", row["n"], percent(row["before"]), percent(row["after"]), told))
    if row := skills.get("facts"):
        rows.append(("skill_facts", row["n"], percent(1), percent(row["after"]["mean"]), _range(row["after"])))
    if row := skills.get("behaviour"):
        rows += [(f"skill_{name}", row["n"], "–", percent(row[name]), "") for name in ("stops", "language", "form")]
    return rows


def document_results(
    documents: Sequence[Document], questions: Sequence[Question], answers: Sequence[Answer]
) -> list[DocumentResult]:
    """Every document that the exam asks about, in the order of the documents, with all replies."""
    by_question: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        by_question.setdefault(answer.question_id, {})[answer.arm] = answer
    by_document: dict[str, list[tuple[Question, dict[str, Answer]]]] = {}
    for question in questions:
        if question.id in by_question:
            by_document.setdefault(question.document_id, []).append((question, by_question[question.id]))
    return [DocumentResult(d, by_document[d.id]) for d in documents if d.id in by_document]


def proof_groups(rows: Sequence[Row]) -> list[ProofGroup]:
    """Proof rows joined over layers: model.layers.*.mlp.up_proj × 18."""
    grouped: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        name = re.sub(r"\.\d+\.", ".*.", str(row["name"]))
        grouped.setdefault((name, str(row["kind"]), float(row["learning_rate"])), []).append(row)
    return [_proof_group(*key, of_group) for key, of_group in grouped.items()]


def _proof_group(name: str, kind: str, learning_rate: float, rows: Sequence[Row]) -> ProofGroup:
    moved = [float(row["moved"]) for row in rows]
    size = sum(int(row["parameters"]) for row in rows)
    return ProofGroup(name, kind, len(rows), size, learning_rate, (min(moved), statistics.median(moved), max(moved)))
