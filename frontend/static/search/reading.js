// How does a reader come from a found passage back to the results? The passage comes into view, and the way back keeps the search.

const found = document.getElementById("found");
found?.scrollIntoView({ block: "center" });

const back = document.getElementById("back");
const origin = document.referrer ? new URL(document.referrer) : null;
if (back && origin?.origin === location.origin && origin.pathname === new URL(back.href).pathname) back.href = origin.href;
