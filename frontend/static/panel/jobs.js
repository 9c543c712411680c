// The panel's page of jobs while it is open: bars move as the socket tells, and the list is asked for again where a job begins or ends.

const page = document.querySelector("[data-jobs]");
const part = page.querySelector("[data-part]");
const lost = page.querySelector("[data-lost]");
const lookMs = Number(page.dataset.lookMs);
const againMs = [1000, 2000, 5000, 15000];

let socket = null;
let tries = 0;

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

// Moves what moves. A job that is not on the page, or is there in another state or without what it has come to, asks for the list itself.
function show(jobs) {
  const paged = new URLSearchParams(location.search);
  let outdated = false;
  for (const job of jobs) {
    const row = part.querySelector(`[data-job="${job.id}"]`);
    if (!row) {
      outdated ||= belongs(job, paged);
    } else if (isOld(row.dataset, job)) {
      outdated = true;
    } else {
      move(row, job);
    }
  }
  if (outdated) renew();
}

function isOld(shown, job) {
  const results = Object.keys(job.result).length;
  return shown.state !== job.state || shown.step !== job.step || Number(shown.results) !== results || ("cancelling" in shown) !== job.cancelling;
}

function belongs(job, query) {
  if ((query.get("page") ?? "1") !== "1") return false;
  return (!query.get("kb") || query.get("kb") === job.kb) && (!query.get("state") || query.get("state") === job.state);
}

function move(row, job) {
  const bar = row.querySelector("[role=progressbar]");
  if (bar && job.state === "running") {
    bar.setAttribute("aria-valuenow", Math.round(job.percent));
    bar.lastElementChild.setAttribute("width", job.percent);
    row.querySelector("[data-percent]").textContent = `${job.percent.toFixed(1)} %`;
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

async function renew() {
  const query = new URLSearchParams(location.search);
  query.set("part", "1");
  try {
    const answer = await fetch(`?${query}`);
    lost.hidden = answer.ok && !answer.redirected;
    if (lost.hidden) part.innerHTML = await answer.text();
  } catch {
    lost.hidden = false;
  }
}
