"""What OpenAI's clients send and get, as far as it is served here; anything else is refused, never ignored."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _encodable(text: str) -> str:
    """The text; half a surrogate pair is none, and no tokenizer takes it."""
    text.encode()  # a UnicodeEncodeError is a ValueError, which the client is told of
    return text


Text = Annotated[str, AfterValidator(_encodable)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Part(BaseModel):
    """Text, where a message is a list of parts."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: Text | list[Part]

    @property
    def text(self) -> str:
        """The content as one string."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """What a stream tells besides text."""

    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False
    include_obfuscation: bool = False


class Asked(BaseModel):
    """What both kinds of request have. `user`, `metadata` and `store` change nothing."""

    model_config = ConfigDict(extra="forbid")
    model: str
    max_tokens: int | None = Field(None, ge=1, le=8192, description="longest reply; 256 if left out")
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False, description="0 if left out")
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    n: int | None = Field(None, ge=1, le=8)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: float | None = Field(None, ge=0, le=0, description="only 0 is served")
    presence_penalty: float | None = Field(None, ge=0, le=0, description="only 0 is served")
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ChatRequest(Asked):
    """The body of /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=512)
    max_completion_tokens: int | None = Field(None, ge=1, le=8192)


class CompletionRequest(Asked):
    """The body of /v1/completions."""

    prompt: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1, max_length=16)]
    logprobs: int | None = Field(None, ge=0, le=5, description="so many likeliest tokens beside each")

    @property
    def prompts(self) -> list[str]:
        """The prompts as a list."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TrustReply(BaseModel):
    """How far a reply of `engraved` can be trusted; drawn replies (temperature above 0) have none."""

    confidence: float = Field(description="geometric mean of the probabilities of the reply's tokens, 0 to 1")
    share_right: float | None = Field(description="of the exam's answers as sure as this; null where that is not known")


class ChatReply(BaseModel):
    """A reply of /v1/chat/completions; in a stream `ishibumi` stands in the chunk that has the `finish_reason`."""

    id: str
    object: str
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int] | None = None
    ishibumi: TrustReply | None = Field(None, description="only from `engraved`, at temperature 0")


class Problem(BaseModel):
    """What went wrong, as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ProblemReply(BaseModel):
    """The body of every reply that is not 200."""

    error: Problem
