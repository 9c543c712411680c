// What does the page say, in which language? Every string of the page, Chinese beside English.

import { longMemory } from "./storage.js";

/** @typedef {"zh" | "en"} Language */

const MESSAGES = {
  "page.title": ["问路", "Wenlu"],
  "page.skip": ["跳到输入框", "Skip to the question box"],
  "page.switch_language": ["English", "中文"],
  "sidebar.label": ["对话记录", "Conversations"],
  "sidebar.show": ["打开对话记录", "Show conversations"],
  "sidebar.hide": ["收起对话记录", "Hide conversations"],
  "sidebar.new": ["新对话", "New conversation"],
  "sidebar.empty": ["还没有对话。提出第一个问题后，会显示在这里。", "No conversations yet. They appear here once you have asked something."],
  "sidebar.local": ["此列表只保存在这台设备上。", "This list is kept on this device only."],
  "sidebar.rename": ["重命名", "Rename"],
  "sidebar.rename_label": ["对话名称", "Name of the conversation"],
  "sidebar.remove": ["从列表中移除", "Remove from the list"],
  "sidebar.removed": ["已从列表中移除", "Removed from the list"],
  "sidebar.today": ["今天", "Today"],
  "sidebar.yesterday": ["昨天", "Yesterday"],
  "sidebar.week": ["过去 7 天", "Previous 7 days"],
  "sidebar.earlier": ["更早", "Earlier"],
  "common.undo": ["撤销", "Undo"],
  "common.retry": ["重试", "Try again"],
  "bot.label": ["选择助手", "Choose an assistant"],
  "bot.none": ["还没有可以提问的助手。", "There is no assistant to ask yet."],
  "greeting.default": ["你好，想了解什么？", "Hello, what would you like to know?"],
  "greeting.suggestions": ["可以这样问", "You could ask"],
  "composer.label": ["你的问题", "Your question"],
  "composer.placeholder": ["输入问题", "Ask a question"],
  "composer.hint": ["Enter 发送，Shift + Enter 换行", "Enter sends, Shift + Enter starts a new line"],
  "composer.send": ["发送", "Send"],
  "composer.stop": ["停止回答", "Stop the answer"],
  "composer.left": ["还可输入 {count} 字", "{count} characters left"],
  "composer.over": ["超出 {count} 字", "{count} characters too many"],
  "thread.label": ["对话", "Conversation"],
  "thread.latest": ["回到最新", "Jump to latest"],
  "thread.loading": ["正在读取对话…", "Loading the conversation…"],
  "thread.missing": ["这个对话已不存在，或无权查看。", "This conversation no longer exists, or you may not see it."],
  "thread.unreachable": ["暂时读不到这个对话。", "This conversation cannot be loaded right now."],
  "turn.question": ["你问", "You asked"],
  "turn.answer": ["回答", "Answer"],
  "turn.sending": ["正在发送…", "Sending…"],
  "turn.searching": ["正在查找…", "Looking it up…"],
  "turn.writing": ["正在回答…", "Answering…"],
  "turn.stopping": ["正在停止…", "Stopping…"],
  "turn.stopped": ["已停止", "Stopped"],
  "turn.stopped_empty": ["回答开始之前已停止。", "Stopped before the answer began."],
  "turn.degraded": ["部分服务暂不可用，回答可能不完整。", "Part of the service is unavailable, so this may be incomplete."],
  "turn.unanswered": ["没有找到确切的答案", "No certain answer found"],
  "turn.handed_over": ["已转接人工，请稍候。", "You are being passed to a colleague. Please wait."],
  "turn.copy": ["复制回答", "Copy the answer"],
  "turn.copied": ["已复制", "Copied"],
  "turn.copy_failed": ["浏览器不允许复制", "The browser did not allow copying"],
  "turn.ask_again": ["再问一次", "Ask again"],
  "turn.edit": ["修改问题", "Edit the question"],
  "turn.seconds": ["{count} 秒", "{count} s"],
  "suggestions.related": ["相关问题", "Related questions"],
  "suggestions.nearest": ["你是不是想问", "Did you mean"],
  "suggestions.options": ["请选择", "Please choose"],
  "sources.title": ["来源", "Sources"],
  "sources.more": ["再显示 {count} 条", "Show {count} more"],
  "sources.open": ["打开原文", "Open the original"],
  "sources.document": ["文档", "Document"],
  "sources.document_open": ["打开文档", "Open the document"],
  "sources.document_open_page": ["打开文档（第 {page} 页）", "Open the document (page {page})"],
  "sources.page": ["第 {page} 页", "page {page}"],
  "kind.faq": ["常见问题", "FAQ"],
  "kind.passage": ["文档", "Document"],
  "kind.document": ["文档", "Document"],
  "kind.template": ["模板", "Template"],
  "kind.graph": ["知识图谱", "Knowledge graph"],
  "kind.entity": ["实体", "Entity"],
  "kind.relation": ["关系", "Relation"],
  "kind.fact": ["事实", "Fact"],
  "kind.smalltalk": ["闲聊", "Small talk"],
  "feedback.label": ["这个回答有帮助吗？", "Was this answer helpful?"],
  "feedback.up": ["有帮助", "Helpful"],
  "feedback.down": ["没有帮助", "Not helpful"],
  "feedback.comment": ["哪里不对？（选填）", "What was wrong? (optional)"],
  "feedback.send": ["提交", "Send"],
  "feedback.skip": ["不用了", "Skip"],
  "feedback.thanks": ["感谢你的反馈", "Thank you for the feedback"],
  "feedback.failed": ["反馈没有提交成功，请重试", "The feedback could not be sent. Please try again"],
  "explain.title": ["为什么这样回答", "Why this answer"],
  "explain.loading": ["正在读取…", "Loading…"],
  "explain.failed": ["暂时读不到说明。", "The explanation cannot be loaded right now."],
  "explain.timings": ["用时（毫秒）", "Time (ms)"],
  "explain.yes": ["是", "yes"],
  "explain.no": ["否", "no"],
  "explain.name.confidence": ["把握", "confidence"],
  "explain.name.accepted": ["足够有把握", "sure enough"],
  "explain.name.failed": ["失败", "failed"],
  "explain.name.exact": ["字词相同", "same words"],
  "explain.name.reasons": ["依据", "reasons"],
  "explain.name.candidates": ["候选", "candidates"],
  "explain.name.id": ["编号", "id"],
  "explain.name.phrasing": ["文字", "text"],
  "explain.name.score": ["得分", "score"],
  "explain.name.contributions": ["得分构成", "what it is made of"],
  "explain.name.question": ["补充问题", "question of its own"],
  "explain.name.text": ["文字", "text"],
  "explain.name.terms": ["共有的词", "words in common"],
  "explain.name.cosine": ["语义", "meaning"],
  "explain.name.bm25": ["词", "words"],
  "explain.name.met": ["逐词语义", "words by meaning"],
  "explain.name.near": ["邻近词语义", "words by meaning, close together"],
  "explain.name.reranked": ["重排", "reranker"],
  "explain.name.near_above": ["段落突出程度", "how far the passage stands out"],
  "explain.name.sentence_above": ["句子突出程度", "how far the sentence stands out"],
  "explain.name.sentence_words": ["句中的提问用词", "words of the question in the sentence"],
  "explain.name.hubness": ["与许多内容相近", "near to many things"],
  "explain.name.question_met": ["提问被满足的程度", "the question is met"],
  "explain.name.phrasing_met": ["问法被满足的程度", "the phrasing is met"],
  "explain.name.other_kind": ["问的不是同一类", "another kind of question"],
  "explain.name.density": ["问答之间的相近程度", "how near all FAQs are"],
  "explain.name.above_density": ["高出的程度", "how far above that"],
  "explain.name.encode": ["编码", "encoding"],
  "explain.name.match": ["查找", "finding"],
  "explain.name.answer": ["回答", "answering"],
  "explain.name.total": ["合计", "in all"],
  "connection.connecting": ["正在连接…", "Connecting…"],
  "connection.waiting": ["连接已断开，{count} 秒后重连", "Connection lost. Trying again in {count} s"],
  "connection.offline": ["网络已断开，恢复后自动继续", "You are offline. This goes on once you are back"],
  "connection.refused": ["这个助手目前不可用", "This assistant is not available"],
  "connection.now": ["立即重连", "Reconnect now"],
  "connection.back": ["已重新连接", "Connected again"],
  "error.overloaded": ["现在提问的人太多，请稍后再试。", "Too many people are asking right now. Please try again in a moment."],
  "error.rate_limited": ["提问太频繁，请稍后再试。", "You are asking very fast. Please try again in a moment."],
  "error.model_unavailable": ["回答服务暂时不可用，请稍后再试。", "The answering service is unavailable right now. Please try again in a moment."],
  "error.search_unavailable": ["检索服务暂时不可用，请稍后再试。", "The search service is unavailable right now. Please try again in a moment."],
  "error.deadline_exceeded": ["这次回答用时太长，已中止。", "This answer took too long and was ended."],
  "error.interrupted": ["回答被中断了，请重新提问。", "The answer was interrupted. Please ask again."],
  "error.inference_failed": ["处理这个问题时出错了。", "Something went wrong while working on this question."],
  "error.internal": ["出错了，我们已记录下来。", "Something went wrong. It has been recorded."],
  "error.forbidden": ["你没有权限向这个助手提问。", "You may not ask this assistant."],
  "error.not_authenticated": ["请先登录，再向这个助手提问。", "Please sign in to ask this assistant."],
  "error.not_found": ["这个助手或对话已不存在。", "This assistant or conversation no longer exists."],
  "error.connection_lost": ["问题没有送达，请检查网络后重试。", "The question did not arrive. Check the connection and try again."],
  "error.turn_lost": ["连接中断期间，这个回答丢失了。", "This answer was lost while the connection was down."],
};

const LANGUAGES = { zh: 0, en: 1 };
const SERVER_LANGUAGES = { zh: "zh-hans", en: "en" };
const HTML_LANGUAGES = { zh: "zh-CN", en: "en" };
let current = "zh";
const listeners = new Set();

/** The language in use. @returns {Language} */
export function language() {
  return current;
}

/** Chooses the language to begin with: the one remembered, then the page's, then the browser's. */
export function beginLanguage(pageLanguage) {
  const wished = [longMemory.read("language", null), pageLanguage, navigator.language.toLowerCase().split("-")[0], "en"];
  current = wished.find((name) => Object.hasOwn(LANGUAGES, name ?? ""));
}

/** Changes the language, remembers it here and for the server's own pages, and tells everyone who shows text. */
export function switchLanguage() {
  current = current === "zh" ? "en" : "zh";
  longMemory.write("language", current);
  document.cookie = `django_language=${SERVER_LANGUAGES[current]}; path=/; max-age=31536000; samesite=lax`;
  for (const listener of listeners) listener();
}

/** Calls back after each change of language. */
export function onLanguageChange(listener) {
  listeners.add(listener);
}

/** Adds the messages of another page, each Chinese beside English; those of the same name are replaced. */
export function addMessages(messages) {
  Object.assign(MESSAGES, messages);
}

/** Whether there is a message of this name. */
export function hasMessage(name) {
  return Object.hasOwn(MESSAGES, name);
}

/**
 * The message in the language in use, with `{name}` filled in.
 * @param {string} name
 * @param {Record<string, string | number>} [values]
 */
export function t(name, values = {}) {
  if (!hasMessage(name)) throw new Error(`There is no message ${name}`);
  return MESSAGES[name][LANGUAGES[current]].replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

/** The value for the language in use out of `{zh, en}`, or the other language's where it has none. */
export function localized(pair) {
  const hasContent = (value) => value !== undefined && value !== null && value.length > 0;
  return [pair?.[current], pair?.zh, pair?.en].find(hasContent);
}

/** Puts the messages into the template's elements: `data-text` names the text, `data-label` the accessible name. */
export function translatePage(root = document) {
  document.documentElement.lang = HTML_LANGUAGES[current];
  document.title = t("page.title");
  for (const node of root.querySelectorAll("[data-text]")) node.textContent = t(node.dataset.text);
  for (const node of root.querySelectorAll("[data-placeholder]")) node.placeholder = t(node.dataset.placeholder);
  for (const node of root.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", t(node.dataset.label));
    if (node.tagName === "BUTTON") node.title = t(node.dataset.label);
  }
}
