"""Which sentences of a document are orders to a model? What a document says is data: such sentences are shown to no model and no reader.

The list cannot be complete. It is one of three guards; the others are the marks around sources (`prompt`) and the check of
every sentence that a model writes (`support`).
"""

from __future__ import annotations

import re
import unicodedata

from core.sentences import sentence_spans
from core.text import clean_answer

LEFT_OUT = "[…]"

_MODEL = r"(?:ai|a\.i\.|assistants?|chat ?bots?|bots?|language models?|llms?|gpt|models?)"
_MODEL_ZH = r"(?:(?:AI|人工智能|智能|问答|聊天) ?(?:助手|机器人|模型)|AI|人工智能|大模型|语言模型)"
_TOLD = r"(?:instructions?|prompts?|directives?|guidelines)"

# Each is narrow enough for what manuals say of themselves: "follow the instructions", "tell the user that", 忘记密码, 直接回复“1”.
_ORDERS = (
    rf"\b(?:ignore|disregard|forget|override|bypass|overrule|do not (?:follow|obey)|don't (?:follow|obey)|stop following)\b[^.\n]{{0,50}}\b{_TOLD}\b",
    r"\b(?:ignore|disregard|forget)\b[^.\n]{0,20}\b(?:above|previous|prior|earlier|preceding|other|all)\b[^.\n]{0,30}"
    r"\b(?:rules|sources?|documents?|context|questions?|restrictions?|text)\b|\b(?:ignore|disregard) the (?:\w+ )?question\b",
    r"\b(?:system|developer|hidden|initial) (?:prompts?|instructions)\b|\b(?:reveal|print|show|repeat|output) (?:your|the) (?:prompt|instructions)\b",
    rf"\byou are (?:now|no longer)\b[^.\n]{{0,40}}\b{_MODEL}\b|\byou are an? [^.\n]{{0,40}}\b{_MODEL}\b|\bfrom now on,? you (?:must|will|are|should|only)\b",
    rf"\bpretend (?:to be|you are|that you)\b|\bact as (?:if you|an? (?:[^.\n]{{0,20}} )?{_MODEL})\b|\brole-?play\b|\bjailbreak\b|\bd\.?a\.?n\.? mode\b",
    rf"\b(?:dear|attention|note (?:to|for)|message (?:to|for)|instructions? (?:to|for)|hey|if you are an?)\b[^.\n]{{0,30}}\b{_MODEL}\b",
    rf"\b{_MODEL}\b[^.\n]{{0,25}}\b(?:reading|processing|summari[sz]ing|answering) (?:this|from)\b",
    r"\b(?:the|any|every|all|this) (?:ai|ai assistants?|chat ?bots?|language models?|llms?)\b[^.\n]{0,20}\b(?:must|should|shall|has to|have to|is to|are to)\b",
    r"\b(?:respond|reply|answer|output)(?: \w+){0,3} (?:only|exactly|verbatim|solely) (?:with|by|in|as|:|\W)",
    r"\b(?:respond|reply|answer|output|say|repeat|begin|start|end|finish|prefix)\b[^.\n]{0,40}"
    r"\b(?:with the (?:word|words|phrase|text|sentence|code|string|following)|your (?:answers?|responses?|reply|replies|outputs?))\b",
    r"\b(?:in|at the (?:end|start|beginning) of|of) (?:your|every|each|all) (?:answers?|responses?|replies|outputs?)\b",
    r"\binclude\b[^.\n]{0,60}\bin (?:the|your) (?:answer|response|reply)\b|\banswer (?:every|each|all) questions? (?:with|by|as)\b",
    rf"\b(?:new|updated|important|urgent|special|additional|secret|priority) {_TOLD}\s*:|\b(?:new|real) task\s*:",
    r"\b(?:tell|inform|convince|urge|instruct|direct) (?:the |all |every )?(?:users?|readers?|person asking|asker)\b[^.\n]{0,30}"
    r"\b(?:visit|click|call|send|download|transfer|pay|enter|go to|log in|sign in)\b",
    r"(?:^|[.!?。！？]\s+)\W*(?:assistant|instruction|prompt)\s*[:：]|(?:^|[.!?。！？]\s+)\W*system\s*:\s*(?:you|ignore|answer|respond|from|the assistant|override)",
    r"\[/?inst\]|<<?/?sys>?>|<\|[^|\n]{1,30}\|>|^#+\s*(?:system|instruction|assistant|new task)",
    r"(?:忽略|无视|忘记|忘掉|不要理会|不要遵守|不必遵守|抛开|跳过)[^。\n]{0,12}(?:指令|指示|提示词|设定)",
    r"(?:忽略|无视|忘记|忘掉|抛开)(?:以上|上述|上面|之前|前面|此前|所有|一切|其他)[^。\n]{0,10}(?:规则|要求|限制|资料|内容|提示|问题)",
    r"系统提示词|系统指令|初始提示词|开发者(?:模式|指令)|越狱模式|(?:你的|显示|输出|泄露|复述)[^。\n]{0,6}提示词",
    rf"(?:你|您)(?:现在|从现在起|将)?(?:是|作为)[^。\n]{{0,16}}{_MODEL_ZH}|从现在(?:开始|起)[,，]?(?:你|请)(?:只|必须|扮演|忽略|回答|不)|(?:你|请)[^。\n]{{0,4}}扮演|假装(?:你|自己)",
    rf"(?:致|告|给|各位|阅读(?:本文|此文|本资料)的?)[^。\n]{{0,8}}{_MODEL_ZH}(?:[:：,，]|请|必须|应|注意)|{_MODEL_ZH}(?:请注意|请执行|请遵守|请务必|必须回答|在回答时?)",
    r"(?:只|仅|务必|一律|统一|必须|原样|逐字)(?:需|能|要|须|可)?(?:回答|输出|答复|复述)(?:[:：“\"「『]|以下|这|一句|一个|为)",
    r"(?:回答|回复|输出|答复)(?:的)?(?:开头|结尾|末尾|最后|里|中)[^。\n]{0,6}(?:必须|务必|都要|加上|附上|写上|包含)",
    r"(?:新的?|重要|紧急|特别|更新的?|最高)(?:指令|指示|任务)\s*[:：]|(?:告诉|告知|劝|引导)(?:提问者|提问的人|用户)[^。\n]{0,12}(?:点击|访问|下载|转账|汇款|拨打|登录|输入)",
    r"(?:^|[。！？]\s*)\W*(?:助手|指令)\s*[:：]|(?:^|[。！？]\s*)\W*系统\s*[:：]\s*(?:你|请|忽略|从现在)",
)
_ORDER = re.compile("|".join(_ORDERS), re.IGNORECASE | re.MULTILINE)


def is_order(text: str) -> bool:
    """Whether a text tells a model what to do, whatever width its letters have and whatever invisible characters lie between."""
    return _ORDER.search(unicodedata.normalize("NFKC", clean_answer(text))) is not None


def follows_order(text: str, start: int, end: int) -> bool:
    """Whether the sentence `text[start:end]` is an order, or stands behind one in its line."""
    return is_order(text[text.rfind("\n", 0, start) + 1 : end])


def plain_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of the sentences that are no orders. What follows an order in its line belongs to it."""
    spans = list(sentence_spans(text))
    if not is_order(text):
        return spans
    kept, held_until = [], 0
    for start, end in spans:
        if start < held_until:
            continue
        if is_order(text[start:end]):
            line_end = text.find("\n", end)
            held_until = line_end if line_end >= 0 else len(text)
        else:
            kept.append((start, end))
    return kept


def without_orders(text: str) -> str:
    """The text with each stretch of orders replaced by `LEFT_OUT`; empty where nothing else is left."""
    if not is_order(text):
        return text
    pieces, last = [], 0
    for start, end in plain_spans(text):
        gap = text[last:start]
        pieces += [f" {LEFT_OUT} " if gap.strip() else gap, text[start:end]]
        last = end
    return "".join([*pieces, f" {LEFT_OUT}" if text[last:].strip() else ""]) if pieces else ""
