"""The exam: the same questions to five arms. (model, [Question], [Document]) → [Answer].

base                untouched model, worked examples, no documents     what it knew or can guess
engraved            trained model, chat prompt, no documents           what it learned
gold_passage        trained model, the right documents in the prompt   can it still read?
retrieval           untouched model, worked examples, BM25 documents   what a search engine would give instead
engraved_retrieval  trained model, BM25 documents in the prompt        is both better than either?
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ishibumi.corpus.documents import Document
from ishibumi.errors import UsageError
from ishibumi.exam.forgetting import text_ids
from ishibumi.exam.grade import contains_answer, is_exact
from ishibumi.exam.questions import UNANSWERABLE, Question
from ishibumi.exam.refusal import is_refusal
from ishibumi.exam.retrieval import index_documents
from ishibumi.exam.shots import SHOTS
from ishibumi.knowledge.citation import split_citation, title_of
from ishibumi.models.generate import Reply, generate_replies
from ishibumi.models.load import LoadedModel
from ishibumi.settings import Arm, ExamSettings

UNTRAINED_ARMS: tuple[Arm, ...] = ("base", "retrieval")
FROM_MEMORY: tuple[Arm, ...] = ("base", "engraved")
STOP_TEXTS = ("\n",)  # of the untrained arms: their worked examples end with the line
# Passages beyond this are cut, so that a batch of questions about long documents fits into memory.
MAX_PASSAGE_TOKENS = 1536

WORDS = {
    "ja": {"passage": "記事", "question": "質問", "answer": "答え"},
    "en": {"passage": "Article", "question": "Question", "answer": "Answer"},
}
READING_PROMPT = {
    "ja": "次の記事を読んで、質問に短く答えてください。\n\n{passage}\n\n質問: {question}",
    "en": "Read the article and answer the question in a few words.\n\n{passage}\n\nQuestion: {question}",
}


@dataclass(frozen=True)
class Answer:
    """One reply and its grades; `passage_cut` is whether the prompt could not hold the whole passage.

    `reply` is what was graded: the answer without the source in front of it, which is `cited`. For an unanswerable
    question `exact` and `contains` say whether the reply refuses. `mean_logprob` is Reply's, None in older runs.
    """

    question_id: str
    document_id: str
    arm: str
    reply: str
    stopped: bool
    exact: bool
    contains: bool
    num_tokens: int
    passage_cut: bool
    cited: str = ""
    cites_right: bool = False
    refused: bool = False
    mean_logprob: float | None = None
    quoted: str = ""


@dataclass(frozen=True)
class Prompt:
    """What an arm is asked; `passage_cut` as in Answer."""

    ids: list[int]
    passage_cut: bool = False


def run_arm(
    arm: Arm,
    model: LoadedModel,
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    settings: ExamSettings,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """The graded answers of one arm, in the order of `questions`; `documents` maps ids to documents.

    `model` is the untouched base for base and retrieval, the trained model for the others. The arms with worked
    examples stop at the end of a line, as their examples do; the chat arms stop only by themselves.
    """
    prompts = _prompts(arm, model, questions, documents, settings)
    replies = generate_replies(
        model,
        [prompt.ids for prompt in prompts],
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_questions,
        stop_texts=STOP_TEXTS if arm in UNTRAINED_ARMS else (),
        on_batch=on_batch,
    )
    titles = [{title_of(documents[i]) for i in question.document_ids} for question in questions]
    return [_graded(arm, *row) for row in zip(titles, questions, prompts, replies, strict=True)]


def _graded(arm: Arm, titles: set[str], question: Question, prompt: Prompt, reply: Reply) -> Answer:
    source, quoted, text = split_citation(reply.text.strip())
    text = text.strip()
    refused = is_refusal(text)
    must_refuse = question.split == UNANSWERABLE
    return Answer(
        question_id=question.id,
        document_id=question.document_id,
        arm=arm,
        reply=text,
        stopped=reply.stopped,
        exact=refused if must_refuse else is_exact(text, question),
        contains=refused if must_refuse else contains_answer(text, question),
        num_tokens=reply.num_tokens,
        passage_cut=prompt.passage_cut,
        cited=source,
        cites_right=bool(source) and source in titles,
        quoted=quoted,
        refused=refused,
        mean_logprob=reply.mean_logprob,
    )


def _prompts(
    arm: Arm,
    model: LoadedModel,
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    settings: ExamSettings,
) -> list[Prompt]:
    shown: Sequence[Sequence[Document]] = [()] * len(questions)
    if arm == "gold_passage":
        shown = [[documents[document_id] for document_id in question.document_ids] for question in questions]
    elif arm not in FROM_MEMORY:
        index = index_documents(list(documents.values()))
        shown = [index.retrieve(question.question, settings.retrieved_documents) for question in questions]
    return [arm_prompt(arm, model, q, of_q, settings) for q, of_q in zip(questions, shown, strict=True)]


def arm_prompt(
    arm: Arm, model: LoadedModel, question: Question, shown: Sequence[Document], settings: ExamSettings
) -> Prompt:
    """The prompt with which an arm is asked; the arms that read get the documents `shown`, best first."""
    if arm == "base":
        return Prompt(text_ids(model, few_shot_text(question, settings.shots)))
    if arm == "engraved":
        return Prompt(_chat_ids(model, question.question))
    # The last passage stands next to the question, where small models read best: best document last.
    best_last = shown if arm == "gold_passage" else shown[::-1]
    return _reading_prompt(arm, model, question, best_last, settings)


def few_shot_text(question: Question, num_shots: int, passage: str | None = None) -> str:
    """Worked examples and then the question, up to where its answer starts; with passages if `passage` is given.

    質問: 富士山の高さは何メートルですか？
    答え: 3776メートル

    質問: 決勝点を決めたのは誰ですか？
    答え:
    """
    with_passage = passage is not None
    shots = SHOTS[question.language][:num_shots]
    parts = [
        _worked(question.language, shot.passage if with_passage else None, shot.question) + " " + shot.answer
        for shot in shots
    ]
    return "\n\n".join([*parts, _worked(question.language, passage, question.question)])


def _worked(language: str, passage: str | None, question: str) -> str:
    words = WORDS[language]
    read = f"{words['passage']}: {passage}\n" if passage is not None else ""
    return f"{read}{words['question']}: {question}\n{words['answer']}:"


def _reading_prompt(
    arm: Arm, model: LoadedModel, question: Question, shown: Sequence[Document], settings: ExamSettings
) -> Prompt:
    def ids(passage: str) -> list[int]:
        if arm in UNTRAINED_ARMS:
            return text_ids(model, few_shot_text(question, settings.shots, passage))
        return _chat_ids(model, READING_PROMPT[question.language].format(passage=passage, question=question.question))

    return _fitted(model, [passage_text(document) for document in shown], ids, settings)


def _chat_ids(model: LoadedModel, content: str) -> list[int]:
    return model.format.prompt_ids([{"role": "user", "content": content}])


def passage_text(document: Document) -> str:
    """A document as a reader would see it: title and date, then the text."""
    date = document.date
    if date is None:
        dated = ""
    else:
        dated = f"{date.year}年{date.month}月{date.day}日" if document.language == "ja" else f"{date.day} {date:%B %Y}"
    head = " – ".join(part for part in (document.title, dated) if part)
    return f"{head}\n{document.text}" if head else document.text


def _fitted(
    model: LoadedModel, passages: Sequence[str], ids: Callable[[str], list[int]], settings: ExamSettings
) -> Prompt:
    """The prompt with these passages, each cut to its share of what the model's window leaves."""
    config: Any = model.network.config
    window = int(config.get_text_config().max_position_embeddings)
    room = min(MAX_PASSAGE_TOKENS, window - len(ids("")) - settings.max_new_tokens - 8)
    if room < 1:
        raise UsageError(
            f"The model reads {window} tokens: a question and {settings.shots} worked examples leave no room for text.",
            hint="Set exam.shots lower, or exam.arms to base and engraved.",
            hint_ja="exam.shots を減らすか、exam.arms を base と engraved だけにしてください。",
        )
    cut = [_cut(model, passage, room // len(passages)) for passage in passages]
    return Prompt(ids("\n\n".join(text for text, _ in cut)), any(was_cut for _, was_cut in cut))


def _cut(model: LoadedModel, text: str, num_tokens: int) -> tuple[str, bool]:
    ids = list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    if len(ids) <= num_tokens:
        return text, False
    # A character that spans the cut decodes to a replacement sign.
    return str(model.tokenizer.decode(ids[:num_tokens])).rstrip("\ufffd"), True
