"""Every sentence of the report page in both languages. key → (English, Japanese), with {names} for figures."""

TEXT: dict[str, tuple[str, str]] = {
    "report": ("Engraving report", "碑文レポート"),
    "base_model": ("Base model", "元のモデル"),
    "recipe": ("Recipe", "レシピ"),
    "created": ("Made on", "作成"),
    "language": ("Language", "表示言語"),
    # The result in one sentence, then in plain words.
    "headline_both": (
        "After training, the model answers {after} of the exam correctly from memory; before, {before}.",
        "学習後のモデルは、試験の{after}に記憶だけで正答しました。学習前は{before}でした。",
    ),
    "headline_after": (
        "After training, the model answers {after} of the exam correctly from memory.",
        "学習後のモデルは、試験の{after}に記憶だけで正答しました。",
    ),
    "headline_none": ("Training is done; no exam was held.", "学習は終わりました。試験は行っていません。"),
    "headline_interval": (
        "95% interval {after}; before {before}. {n} questions about {documents} documents.",
        "95%信頼区間 {after}、学習前は {before}。問題は{n}問、対象の文書は{documents}件。",
    ),
    "headline_interval_after": (
        "95% interval {after}. {n} questions about {documents} documents.",
        "95%信頼区間 {after}。問題は{n}問、対象の文書は{documents}件。",
    ),
    "gain_clear": (
        "Training added {points} points [{low} to {high}]: more than chance explains.",
        "学習で{points}ポイント［{low}〜{high}］上がりました。偶然では説明できない差です。",
    ),
    "gain_none": (
        "The change of {points} points [{low} to {high}] is within what chance explains: no learning was shown.",
        "変化は{points}ポイント［{low}〜{high}］で、偶然の範囲です。学習の効果は確認できません。",
    ),
    "gain_loss": (
        "Training made the answers worse by {points} points [{low} to {high}].",
        "学習によって正答率は{points}ポイント［{low}〜{high}］下がりました。",
    ),
    "generated_exam": (
        "No exam was given, so these are generated questions of shapes that were kept out of training. The rules "
        "that wrote them wrote the training too: the figure flatters, and people ask otherwise. Write questions of "
        "your own before you rely on it.",
        "試験問題の指定がないため、訓練に使わなかった形の自動生成の問いで測りました。"
        "訓練の文と同じ規則で作ったものなので、実際より高く出ます。人の問い方は違います。頼る前に、"
        "自分で問題を書いて確かめてください。",
    ),
    "training_wording": (
        "Training's own questions, word for word: {training}; the exam: {main}. The first shows what was memorised, "
        "only the second what can be used.",
        "学習した問いをそのまま出すと{training}、試験では{main}です。前者は暗記を、後者だけが使える知識を示します。",
    ),
    "known_before": (
        "The untouched base model already had {known} of {n} right; without those the engraved model answers {share}.",
        "学習前のモデルは{n}問中{known}問に最初から正答していました。それを除くと、学習後の正答率は{share}です。",
    ),
    "honest": (
        "Asked for what does not exist, it says that it does not know in {should}; where there is an answer it "
        "refuses in {should_not}.",
        "存在しないことを問うと、{should}で「分からない」と答えました。答えのある問いを断ったのは{should_not}です。",
    ),
    "split": (
        "Facts that some training question asks about: {asked}. Facts that only stand in a document: {document_only}.",
        "学習中に問われた事実の正答率は{asked}、文書に書いてあるだけの事実は{document_only}です。",
    ),
    "search_better": (
        "Searching the documents instead (base model with BM25) answers more: {retrieval}, a difference of {points} "
        "points [{low} to {high}].",
        "文書を検索して読ませる方法（学習前のモデル＋BM25）の方が高く、{retrieval}です"
        "（差は{points}ポイント［{low}〜{high}］）。",
    ),
    "search_worse": (
        "Searching the documents instead (base model with BM25) answers fewer: {retrieval}, a difference of {points} "
        "points [{low} to {high}].",
        "文書を検索して読ませる方法（学習前のモデル＋BM25）の正答率はこれより低く、{retrieval}です"
        "（差は{points}ポイント［{low}〜{high}］）。",
    ),
    "search_same": (
        "Searching the documents instead (base model with BM25) answers {retrieval}; the difference of {points} points "
        "[{low} to {high}] is within what chance explains.",
        "文書を検索して読ませる方法（学習前のモデル＋BM25）は{retrieval}です。"
        "差の{points}ポイント［{low}〜{high}］は偶然の範囲です。",
    ),
    "forgot_none": (
        "General text has become hardly any harder for it (perplexity × {ratio} at most): little was forgotten.",
        "一般の文章の予測しにくさはほぼ変わらず（パープレキシティは最大 {ratio} 倍）、忘却はわずかです。",
    ),
    "forgot_some": (
        "General text has become somewhat harder for it (perplexity × {ratio} at most): a little was forgotten.",
        "一般の文章がやや予測しにくくなりました（パープレキシティは最大 {ratio} 倍）。少し忘れています。",
    ),
    "forgot_much": (
        "General text has become clearly harder for it (perplexity × {ratio} at most): expect damage elsewhere.",
        "一般の文章が明らかに予測しにくくなりました（パープレキシティは最大 {ratio} 倍）。"
        "文書以外の能力が損なわれています。",
    ),
    "forgot_unknown": (
        "Forgetting was not measured: exam.general names no text.",
        "忘却は測っていません（exam.general に文章の指定がありません）。",
    ),
    "stops": (
        "{share} of its replies stop by themselves.",
        "返答の{share}が、途中で打ち切られずに自分で終わりました。",
    ),
    "limits": (
        "What this does not show: the exam asks only about the engraved documents, and grades by comparing text. The "
        "model gives a wrong answer in the same tone as a right one, so check figures that matter.",
        "この結果が示さないこと: 試験が問うのは刻んだ文書の内容だけで、採点は文字列の照合です。"
        "モデルは誤りも正解と同じ調子で答えるので、大事な数字は必ず確かめてください。",
    ),
    # Sections.
    "arms": ("Who answers how much", "条件ごとの正答率"),
    "arms_lead": (
        "The same questions under different conditions. A reply is right when it names the answer and does not "
        "hedge; the "
        "thin line is the 95% interval, found by drawing the documents anew.",
        "同じ問題を違う条件で解きます。答えを含み、複数の候補を並べていない返答を正答とします。"
        "細い線は文書を引き直して求めた95%信頼区間です。",
    ),
    "arm_base": ("Base model", "学習前のモデル"),
    "arm_base_is": ("before training, shown worked examples", "例題を見せて回答"),
    "arm_engraved": ("Engraved model", "学習後のモデル"),
    "arm_engraved_is": ("from memory, the question alone", "質問だけを見て記憶で回答"),
    "arm_gold_passage": ("Engraved model, reading", "学習後のモデル＋正解の文書"),
    "arm_gold_passage_is": ("with the right document in front of it", "該当する文書を読んで回答"),
    "arm_retrieval": ("Base model, searching", "学習前のモデル＋検索"),
    "arm_retrieval_is": ("with what BM25 finds in the documents", "BM25 が見つけた文書を読んで回答"),
    "arm_engraved_retrieval": ("Engraved model, searching", "学習後のモデル＋検索"),
    "arm_engraved_retrieval_is": ("with what BM25 finds in the documents", "BM25 が見つけた文書を読んで回答"),
    "free": ("Free answers, figure by figure", "自由回答（項目ごとの採点）"),
    "free_lead": (
        "{right} of {figures} figures right, {wrong} wrong; the published reply had {published_right} right.",
        "{figures}項目のうち{right}項目が正解、{wrong}項目が誤り。公開された返答の正解は{published_right}項目でした。",
    ),
    "free_asked_alone": (
        "Asked for one by one, {asked_alone_right} of {asked_alone} are right.",
        "1つずつ尋ねると、{asked_alone}項目のうち{asked_alone_right}項目が正解です。",
    ),
    "asked_alone": ("Asked alone", "個別に尋ねると"),
    "figure": ("Figure", "項目"),
    "ours": ("This model", "このモデル"),
    "published": ("Published", "公開された返答"),
    "verdict_right": ("right", "正"),
    "verdict_wrong": ("wrong", "誤"),
    "verdict_missing": ("not told", "言及なし"),
    "differences": ("Difference on the same questions", "同じ問題での差"),
    "points": ("Points", "ポイント"),
    "interval": ("95% interval", "95%信頼区間"),
    "splits": ("However it is asked", "問い方を変えると"),
    "splits_lead": (
        "Names the answer, by how the question was put. For what has no answer, saying so is right. The last row "
        "asks training's own questions as they were trained, which only shows what was memorised.",
        "問い方ごとの正答率。答えのない問いでは「分からない」と答えたものを正答とします。"
        "「訓練の文面」は学習した問いをそのまま出したもので、覚え込みの度合いだけを示します。",
    ),
    "split_held_out": ("Other wording", "別の言い方"),
    "split_held_out_is": ("the same facts, in words not trained on", "同じ事実を、訓練にない文面で"),
    "split_generated": ("Generated", "自動生成"),
    "split_generated_is": ("shapes of question not trained on", "訓練に使わなかった形の問い"),
    "split_reversed": ("Reversed", "逆向き"),
    "split_reversed_is": ("from the answer's side back", "答えの側から問う"),
    "split_combined": ("Combined", "組み合わせ"),
    "split_combined_is": ("two documents or more are needed", "複数の文書が必要"),
    "split_unanswerable": ("Unanswerable", "答えのない問い"),
    "split_unanswerable_is": ("right form, but there is no answer", "もっともらしいが答えがない"),
    "split_training": ("Training wording", "訓練の文面"),
    "split_training_is": ("questions of training as they are", "学習した問いをそのまま"),
    "honesty": ("Does it know what it does not know?", "知らないことを知っているか"),
    "honesty_lead": (
        "Refusing is right where there is no answer, and a loss where there is one. Confidence is the mean "
        "probability of the reply's tokens. “Surer when right”: how often a right reply is surer than a wrong one; "
        "50% is chance. “Calibration error”: the mean gap between confidence and share right.",
        "断ることは、答えのない問いでは正しく、答えのある問いでは損です。確信度は返答のトークンの平均確率です。"
        "「正答の方が確信が高い」は正答が誤答より高い確信度をもつ割合で、50%は偶然と同じ。"
        "「確信のずれ」は確信度と正答率の差の平均です。",
    ),
    "refused_unanswerable": ("Refuses the unanswerable", "答えのない問いを断る"),
    "refused_answerable": ("Refuses the answerable", "答えのある問いを断る"),
    "separation": ("Surer when right", "正答の方が確信が高い"),
    "calibration_error": ("Calibration error", "確信のずれ"),
    "withheld": ("If the engraved model's least sure replies were withheld", "確信の低い返答を控えるとしたら"),
    "withheld_lead": (
        "Withholding the replies that are less sure than this would take away this share of the right ones, of the "
        "wrong ones, and of the answers to questions that have none.",
        "確信度がこれより低い返答を控えると、正答、誤答、答えのない問いに答えてしまった返答のそれぞれこの割合を控えることになります。",
    ),
    "withheld_below": ("Less sure than", "控える確信度（未満）"),
    "withheld_right": ("Right ones withheld", "控える正答"),
    "withheld_wrong": ("Wrong ones withheld", "控える誤答"),
    "withheld_unanswerable": ("Unanswerable withheld", "控える「答えのない問い」"),
    "unknown_before": ("Without those the base knew", "学習前に正答した問題を除く"),
    "short_engraved": ("engraved", "学習後"),
    "short_engraved_retrieval": ("engraved, searching", "学習後＋検索"),
    "short_base": ("base", "学習前"),
    "short_gold_passage": ("reading", "文書を提示"),
    "short_retrieval": ("searching", "検索"),
    "contains": ("Names the answer", "答えを含む"),
    "exact": ("Exactly the answer", "完全一致"),
    "stopped": ("Stops by itself", "自分で終わる"),
    "tokens_a_reply": ("Tokens a reply", "返答の平均トークン数"),
    "questions": ("Questions", "問題数"),
    "condition": ("Condition", "条件"),
    "where": ("Where the knowledge holds", "どこまで身についたか"),
    "where_lead": (
        "The engraved model from memory, by where the fact stood in training and by kind of question.",
        "学習後のモデルの記憶だけでの正答率を、事実の出どころと問題の種類で分けたもの。",
    ),
    "by_asked": ("Where the fact stood", "事実の出どころ"),
    "asked": ("asked about in training", "学習中の質問にもある"),
    "document_only": ("only in a document", "文書にだけある"),
    "by_kind": ("Kind of question", "問題の種類"),
    "by_language": ("Language of the question", "問題の言語"),
    "before": ("Before", "学習前"),
    "after": ("After", "学習後"),
    "loss": ("How training went", "学習の経過"),
    "loss_lead": (
        "Loss in nats a token (thin: each step, thick: smoothed). Vertical lines mark the end of an epoch; below, the "
        "learning rate. A step down at such a line is memory, not yet understanding.",
        "損失（ナット/トークン。細線は各ステップ、太線は平滑化）。縦線はエポックの終わり、下段は学習率。"
        "縦線の所で段のように下がるのは暗記のしるしで、理解とは限りません。",
    ),
    "loss_from_to": (
        "{first} → {last} in {steps} steps, {tokens} tokens",
        "{first} → {last}（{steps} ステップ、{tokens} トークン）",
    ),
    "learning_rate": ("Learning rate", "学習率"),
    "at_step": ("step {n}", "{n} ステップ"),
    "known_at_the_end": (
        "dashed: {share} % of training's questions answered, each asked before it was learned from again",
        "破線：学習用の質問の正答率（{share} %）。どの質問も、次に学習する直前に解かせています",
    ),
    "epoch": ("epoch {number}", "エポック {number}"),
    "forgetting": ("What was forgotten", "何を忘れたか"),
    "forgetting_lead": (
        "Perplexity on general text that training never saw: how many words the model wavers between. 1.00 times is "
        "unharmed.",
        "学習に使っていない一般の文章でのパープレキシティ（次の語の候補がいくつに絞れているか）。1.00 倍なら無傷です。",
    ),
    "skill_lead": (
        "Other things that may be lost: common sense by the likeliest of five choices, facts that the untouched base "
        "answered, and the form of replies to 24 prompts about nothing in particular.",
        "ほかに失われうるもの: 五択の常識問題（最も確率の高い選択肢を回答とみなす）、学習前のモデルが答えられた事実、"
        "特定の話題によらない24の指示への返答の形。",
    ),
    "perplexity": ("Perplexity of general text", "一般の文章のパープレキシティ"),
    "skill": ("Measured", "測ったもの"),
    "change": ("Change (95% interval)", "変化（95%信頼区間）"),
    "skill_choices": ("Common sense, five choices", "常識問題（五択）"),
    "skill_facts": ("Facts that the base knew", "学習前に知っていた事実"),
    "skill_stops": ("Chat: stops by itself", "会話: 自分で終わる"),
    "skill_language": ("Chat: answers in the question's language", "会話: 質問と同じ言語で答える"),
    "skill_form": ("Chat: keeps to the form asked for", "会話: 指定の形で答える"),
    "ratio": ("After / before", "学習後 / 学習前"),
    "predicted_tokens": ("Tokens", "トークン数"),
    "documents": ("Document by document", "文書ごとの結果"),
    "documents_lead": (
        "A filled square is a question that the engraved model answers from memory. Open a document for the replies.",
        "塗りつぶした四角は、学習後のモデルが記憶だけで正答した問題です。文書を開くと返答が見られます。",
    ),
    "learned_of": ("{k} of {n}", "{k} / {n}"),
    "show_all": ("All", "すべて"),
    "show_wrong": ("Wrong only", "誤答だけ"),
    "search": ("Search titles, questions, replies", "見出し・質問・返答を検索"),
    "none_found": ("Nothing matches.", "該当するものはありません。"),
    "question": ("Question", "質問"),
    "gold": ("Answer", "正解"),
    "reply": ("Reply", "返答"),
    "others": ("Others", "他の条件"),
    "right": ("right", "正答"),
    "wrong": ("wrong", "誤答"),
    "no_reply": ("(empty)", "（空）"),
    "unasked": (
        "Documents without a question in the exam: {n}.",
        "試験の問題がない文書: {n} 件。",
    ),
    "proof": ("What was trained", "何を学習したか"),
    "proof_lead": (
        "Every matrix that trained, in groups. “Moved” is the size of the change over the size of the matrix: "
        "smallest, median, largest of the group. A matrix that had not moved would have stopped the run.",
        "学習したすべての行列をまとめた表です。「変化量」は変化の大きさ÷元の大きさ（最小・中央値・最大）。"
        "動かなかった行列があれば、実行はエラーで止まります。",
    ),
    "matrices": ("Matrices", "行列"),
    "count": ("Count", "個数"),
    "method": ("Method", "方法"),
    "parameters": ("Trained numbers", "学習した数値の個数"),
    "moved": ("Moved", "変化量"),
    "made": ("What was made from the documents", "文書から作った文"),
    "made_lead": (
        "Every generated text is checked against its document. What failed is not trained on, and is counted here.",
        "作った文はすべて元の文書と照らし合わせます。合わないものは学習に使わず、ここに数を示します。",
    ),
    "made_by": ("Written by", "書き手"),
    "made_kept": ("Kept", "採用"),
    "refused": ("Reason for leaving out", "不採用の理由"),
    "refused_a value of one sentence": ("names what only one document has", "1つの文書だけの値が入っている"),
    "refused_another document may answer": ("another document may answer it", "ほかの文書に答えがあるかもしれない"),
    "refused_another language": ("another language", "別の言語"),
    "refused_answer not in the document": ("answer not in the document", "答えが文書にない"),
    "refused_answer not in the form": ("answer not in the form", "答えがひな形にない"),
    "refused_another answer elsewhere": ("has another answer elsewhere", "別の箇所に別の答えがある質問"),
    "refused_common answer": ("answer that many documents give", "多くの文書に共通する答え"),
    "refused_copy of the document": ("copy of the document", "文書の丸写し"),
    "refused_document too long for the writing model": (
        "document too long for the writing model",
        "書き手のモデルには長すぎる文書",
    ),
    "refused_duplicate": ("duplicate", "重複"),
    "refused_empty": ("empty text", "中身がない"),
    "refused_figure not in the document": ("figure not in the document", "文書にない数字"),
    "refused_letter not in the form": ("letter that the form has not", "ひな形にない文字"),
    "refused_long answer": ("long answer", "長すぎる答え"),
    "refused_long question": ("long question", "長すぎる質問"),
    "refused_long text": ("long text", "長すぎる文"),
    "refused_name not in the document": ("name not in the document", "文書にない名前"),
    "refused_no reply from the endpoint": ("no reply from the endpoint", "サーバーからの返答がない"),
    "refused_question holds its answer": ("question holds its answer", "質問に答えが入っている"),
    "refused_question without a letter": ("question that does not say which document", "どの文書か分からない質問"),
    "refused_repeats itself": ("repeats itself", "同じ文の繰り返し"),
    "refused_unreadable reply": ("unreadable reply", "読み取れない返答"),
    "settings": ("Settings", "設定"),
    "settings_lead": (
        "Every value and where it came from. Those that are not the default are marked.",
        "すべての値とその由来。既定値でないものに印があります。",
    ),
    "setting": ("Setting", "項目"),
    "value": ("Value", "値"),
    "origin": ("Origin", "由来"),
    "settings_all": ("All {n} settings", "すべての設定（{n} 項目）"),
    "machine": ("Time and machine", "時間と環境"),
    "under_a_second": ("under 1 s", "1 秒未満"),
    "seconds": ("{n} s", "{n} 秒"),
    "minutes": ("{m} min {s} s", "{m} 分 {s} 秒"),
    "hours": ("{h} h {m} min", "{h} 時間 {m} 分"),
    "total": ("Total", "合計"),
    "notes": ("Left out and worth knowing", "除いたもの・注意"),
    "footer": (
        "Made by ishibumi. This file needs no network; everything in it was measured in this run.",
        "ishibumi が作成しました。このファイルはネットワークなしで開けます。数値はすべてこの実行で測ったものです。",
    ),
    # The page of a sweep.
    "sweep": ("Sweep", "条件の比較"),
    "sweep_title": ("Learned against forgotten", "覚えた量と忘れた量"),
    "sweep_lead": (
        "Each point is a configuration: upwards it answers more of the exam from memory, to the left it has forgotten "
        "less. On the front (★) stand those that no other beats in one without losing in the other. Thin lines are 95% "
        "intervals over documents, small dots single seeds. Differences within the intervals show nothing.",
        "点は一つの設定です。上ほど試験に記憶だけで多く正答し、左ほど忘却が少ないことを示します。★は、ほかのどの設定にも"
        "両方では負けないもの（前線）。細い線は文書についての95%信頼区間、小さい点は個々のシードです。"
        "区間に収まる差には意味がありません。",
    ),
    "learned": ("Learned", "覚えた"),
    "forgotten": ("Forgotten", "忘れた"),
    "learned_axis": ("learned: share of the exam answered from memory", "覚えた量（試験の正答率）"),
    "forgotten_axis": (
        "forgotten: perplexity of general text, after / before",
        "忘れた量（一般の文章のパープレキシティ、学習後 / 学習前）",
    ),
    "budget": ("budget", "許容範囲"),
    "seeds": ("Seeds", "シード数"),
    "minutes_each": ("Minutes", "分"),
    "stage_corpus": ("Documents", "文書の整形"),
    "stage_knowledge": ("Rewrites and questions", "言い換えと質問"),
    "stage_cpt": ("Continued pretraining", "継続事前学習"),
    "stage_sft": ("Chat tuning", "チャット調整"),
    "stage_before": ("Exam of the base", "学習前の試験"),
    "stage_exam": ("Exam", "試験"),
    "stage_report": ("Report", "レポート"),
    "language_ja": ("Japanese", "日本語"),
    "language_en": ("English", "英語"),
    "kind_score": ("score", "スコア"),
    "kind_scorer": ("scorer", "得点者"),
    "kind_minute": ("minute", "時間（分）"),
    "kind_opponent": ("opponent", "対戦相手"),
    "kind_place": ("place", "場所"),
    "kind_penalties": ("penalty shoot-out", "PK 戦"),
    "kind_date": ("date", "日付"),
    "kind_count": ("count", "数"),
    "kind_number": ("number", "数値"),
    "kind_advance": ("who advances", "勝ち上がり"),
    "kind_result": ("outcome", "結果"),
    "kind_next": ("what comes next", "次の予定"),
    "kind_event": ("event", "出来事"),
    "kind_seats": ("seats", "議席"),
    "kind_votes": ("votes", "票"),
    "kind_change": ("change", "増減"),
    "kind_team": ("team", "チーム"),
    "kind_party": ("party", "政党"),
    "kind_name": ("name", "名前"),
    "kind_person": ("person", "人物"),
    "kind_other": ("other", "その他"),
}


def word_in(language: str, key: str) -> str:
    """A text in «ja» or «en», for the terminal."""
    return TEXT[key][language == "ja"]
