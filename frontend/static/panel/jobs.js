// Pages of the panel that follow jobs while they are open: bars move as the socket tells, and the part is asked for again where a job begins or ends.
//
// `data-jobs` has `data-socket` and `data-look-ms`, and says which jobs concern it: those of `data-kinds` in `data-kb` (empty: in any), or the
// one job `data-only`, whose every step renews the part; else what the address chooses. Within it stand `data-part` and admin/serving/live.html.

const page = document.querySelector("[data-jobs]");
const part = page.querySelector("[data-part]");
const lost = page.querySelector("[data-lost]");
const told = page.querySelector("[data-told]");
const lookMs = Number(page.dataset.lookMs);
const againMs = [1000, 2000, 5000, 15000];

let socket = null;
let tries = 0;
let renewing = false;
let again = false;

page.querySelector("[data-submits]")?.addEventListener("change", (event) => event.target.form.requestSubmit());
connect();
setInterval(() => {
  if (!document.hidden && socket?.readyState !== WebSocket.OPEN) renew();
}, lookMs);

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}${page.dataset.socket}`);
  socket.addEventListener("open", () => { tries = 0; });
  socket.addEventListener("message", (message) => {
    const frame = JSON.parse(message.data);
    if (frame.type === "jobs") show(frame.jobs);
  });
  socket.addEventListener("close", () => {
    setTimeout(connect, againMs[Math.min(tries, againMs.length - 1)]);
    tries += 1;
  });
}

// Moves what moves. A job that is not on the page, or is there in another state or without what it has come to, asks for the part itself.
function show(jobs) {
  let outdated = false;
  for (const job of jobs) {
    const row = rowOf(job.id);
    if (!row) {
      outdated ||= belongs(job);
    } else if (isOld(row.dataset, job)) {
      outdated = true;
    } else {
      outdated ||= "only" in page.dataset && Number(row.dataset.done) !== job.done;
      move(row, job);
    }
  }
  if (outdated) renew();
}

function rowOf(id) {
  return part.querySelector(`[data-job="${id}"]`);
}

function isOld(shown, job) {
  const results = Object.keys(job.result).length;
  return shown.state !== job.state || shown.step !== job.step || Number(shown.results) !== results || ("cancelling" in shown) !== job.cancelling;
}

function belongs(job) {
  const { only, kinds, kb } = page.dataset;
  if (only) return only === String(job.id) && !job.finished_at;
  if (kinds) return kinds.split(" ").includes(job.kind) && (!kb || kb === job.kb);
  const query = new URLSearchParams(location.search);
  if ((query.get("page") ?? "1") !== "1") return false;
  return (!query.get("kb") || query.get("kb") === job.kb) && (!query.get("state") || query.get("state") === job.state);
}

function move(row, job) {
  const bar = row.querySelector("[role=progressbar]");
  if (bar && job.state === "running") {
    bar.setAttribute("aria-valuenow", Math.round(job.percent));
    bar.lastElementChild.setAttribute("width", job.percent);
    row.querySelector("[data-percent]").textContent = `${job.percent.toFixed(1)} %`;
    const amount = row.querySelector("[data-amount]");
    if (amount) amount.textContent = amount.dataset.amount.replace("%(done)s", job.done).replace("%(total)s", job.total);
    const left = row.querySelector("[data-left]");
    left.textContent = timeLeft(job.eta_s);
    left.classList.toggle("panel-job-left", job.eta_s !== null);
  }
  for (const count of row.querySelectorAll("[data-count]")) {
    const value = job.result[count.dataset.count] ?? 0;
    count.textContent = value;
    count.parentElement.hidden = !value;
  }
}

function timeLeft(seconds) {
  if (seconds === null) return "";
  const words = part.querySelector("[data-words]").dataset;
  return seconds < 90 ? words.seconds.replace("%(count)s", seconds) : words.minutes.replace("%(count)s", Math.round(seconds / 60));
}

// One request at a time; what was asked for meanwhile is asked for once more.
async function renew() {
  again = renewing;
  if (renewing) return;
  renewing = true;
  const query = new URLSearchParams(location.search);
  query.set("part", "1");
  try {
    const answer = await fetch(`?${query}`);
    lost.hidden = answer.ok && !answer.redirected;
    if (lost.hidden) replace(await answer.text());
  } catch {
    lost.hidden = false;
  } finally {
    renewing = false;
  }
  if (again) renew();
}

// Whoever works by keyboard stays where they were, and whoever listens hears which job came into another state.
function replace(html) {
  const before = new Map([...part.querySelectorAll("[data-job]")].map((row) => [row.dataset.job, row.dataset.state]));
  const focused = part.contains(document.activeElement) ? pathTo(document.activeElement) : "";
  part.innerHTML = html;
  if (focused) part.querySelector(focused)?.focus({ preventScroll: true });
  const changed = [...part.querySelectorAll("[data-job]")].filter((row) => before.has(row.dataset.job) && before.get(row.dataset.job) !== row.dataset.state);
  const news = changed.map((row) => `${row.querySelector("[data-title]").textContent}: ${row.querySelector("[data-state-name]").textContent}`);
  if (news.length) told.textContent = news.join(" ");
}

function pathTo(element) {
  const row = element.closest("[data-job]");
  const within = row ? `[data-job="${row.dataset.job}"] ` : "";
  if (element.hasAttribute("href")) return `${within}a[href="${CSS.escape(element.getAttribute("href"))}"]`;
  return element.value ? `${within}button[value="${CSS.escape(element.value)}"]` : "";
}
