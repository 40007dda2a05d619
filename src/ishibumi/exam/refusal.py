"""Whether a reply says that it does not know, Japanese and English. reply → bool.

    «分かりません。»  «その試合の記載はありません»  «I don't know.»  «The article does not say.»       refusals
    «行方不明の選手»  «負けを知らない»  «unknown to many: Smith»  «分かりませんが、スペインです»       none

Rules alone, so that the same reply is always judged the same. A polite «sorry» in front does not count; a reply that
names an answer before or after the refusal is no refusal. Correcting the question («Canada was out by then») is one
only where it says so («no such match», «そのような試合はありません»).
"""

import re
import unicodedata

MAX_REPLY_CHARACTERS = 100

_NONE = "(?:あり|ござい|おり)ません|(?:は|が|も)?(?:ない|無い|なし)|見(?:つ|当)(?:か|た)(?:り|ら)"
_KNOWN_THINGS = "記載|記述|記録|情報|データ|言及|資料|該当(?:する[^。]{1,8})?|答え|回答"
_JAPANESE = re.compile(
    # 分かりません, わからなかったです, 分かりかねます; not 分からないことはない, 分かりませんか, かも分からない
    r"(?<!かも)(?:分|わ|判|解)か(?:りません(?!か$)|りかね|ら(?:ない|なかった|ず)(?=$|です|[、,]|が|け|ので|ため|と))"
    # 不明です, 詳細不明。; not 行方不明, 原因不明の病
    r"|(?:^|[はがもて、\s]|詳細|時刻|人数)不明(?=です|でし|であ|だ|と(?:なって|され)|$|[、,!！)）])"
    # 知りません, 存じません, at the end of what it says; not 負けを知らない
    r"|(?:^|[はもて、])(?:私は)?(?:知りません|知らない(?:です)?$|存じ(?:上げ)?ません|存じかね)"
    rf"|(?:{_KNOWN_THINGS})(?:は|が|も|について(?:は)?|[^。、]{{0,8}}(?:は|が))?(?:{_NONE})"
    r"|(?:記載|記述|記録|言及|明記|公表|特定|確認|発表)(?:は)?(?:さ)?れて(?:い|お)(?:ない|ません|りません)"
    r"|(?:書かれて|書いて|述べられて|触れられて|記されて|示されて)(?:い|お|あ)?(?:ない|ません|りません)"
    r"|(?:答え|回答|判断|確認|特定|断定|お伝え)(?:は)?(?:する)?(?:こと(?:は|が))?(?:でき|られ)(?:ません|ない|かね)"
    r"|(?:そのような|そうした|そんな|該当の)[^。、]{1,14}(?:ありません|なかった|ない$|存在しません|行われていません|していません)"
    r"|情報を持って(?:い|お)(?:ない|ません|りません)"
)
_ENGLISH = re.compile(
    r"\b(?:i|we)(?: really| honestly| simply)? (?:do not|don't|dont|did not|cannot|can't|could not|couldn't)"
    r" (?:know|recall|say|tell|answer|determine|find|confirm|have (?:that|this|any|enough|the))"
    r"|\b(?:i|we) (?:have|had) no (?:information|idea|record|knowledge|data)|\bno idea\b|^unknown\b(?! \w)|^not sure\b"
    r"|\b(?:i am|i'm|we are|we're) (?:not (?:sure|certain|aware)|unsure|unable)\b"
    r"|\bunable to (?:answer|say|determine|find)"
    r"|\b(?:is|are|was|were|remains?) (?:unknown|unclear|unspecified)\b(?! to)"
    r"|\bnot (?:known|mentioned|stated|specified|recorded|reported|provided|available)\b(?! (?:for|as|only))"
    r"|\b(?:isn't|aren't|wasn't|weren't) (?:known|mentioned|stated|specified|recorded|reported|provided|clear)\b"
    r"|\b(?:does not|doesn't|do not|don't|did not|didn't) (?:say|mention|state|specify|contain|provide)\b"
    r"|\bno (?:information|record|mention|data|answer)\b|\b(?:cannot|can't) (?:be )?(?:answer|determine|say|confirm)"
    r"|\b(?:there (?:is|was) )?no such (?:match|game|goal|player|team|event|person|thing)\b"
)
_APOLOGY = re.compile(
    r"^(?:(?:大変)?申し訳(?:あり|ござい)ませんが?|すみませんが?|すいませんが?|ごめんなさい|残念ながら|恐れ入りますが"
    r"|(?:i'm |i am )?(?:very |so )?sorry(?: but)?|unfortunately|i apologi[sz]e)[,、\s]*",
)
# After these a guess follows, unless what follows is another refusal or says where to look.
_HOWEVER = re.compile(
    r"^(?:です)?(?:が|けれども?|けど|ものの)[、,\s]*|^[\s,;—–-]*(?:but|however|though|although|perhaps)\b[\s,]*"
)
_POINTER = re.compile(
    r"確認|参照|ご覧|お問い合わせ|お尋ね|調べ|教えて|ください|could|please|check|look|would|can (?:help|look)|ask"
)


def is_refusal(reply: str) -> bool:
    """Whether the reply's first sentence that is no apology says that the answer is not known, and no answer with it.

    Only the first line counts, of it the first 100 characters, as the grader reads it.
    """
    line = next((line for line in reply.splitlines() if line.strip()), "")[:MAX_REPLY_CHARACTERS]
    text = unicodedata.normalize("NFKC", line).lower().replace("\u2019", "'").strip(" \t\"'「」『』*")
    sentences = [part for part in (_APOLOGY.sub("", s.strip()) for s in re.split(r"[。.!?！？]+", text)) if part]
    return bool(sentences) and _refuses(sentences[0])


def _refuses(sentence: str) -> bool:
    found = _JAPANESE.search(sentence) or _ENGLISH.search(sentence)
    if not found:
        return False
    rest = sentence[found.end() :]
    contrast = _HOWEVER.match(rest)
    if not contrast:
        return True
    after = rest[contrast.end() :]
    return not after or bool(_POINTER.search(after)) or _refuses(after)
