// How does a reader come from a found passage back to the results? What was found comes into view, its beginning where it is long, and the way back keeps the search.

const found = document.getElementById("found");
found?.scrollIntoView({ block: found.getBoundingClientRect().height > innerHeight / 2 ? "start" : "center" });

const back = document.getElementById("back");
const origin = document.referrer ? new URL(document.referrer) : null;
if (back && origin?.origin === location.origin && origin.pathname === new URL(back.href).pathname) back.href = origin.href;
