// The run's key, which logs and actions require. It follows the # in the printed URL, which browsers do not send,
// and is kept in the storage of this origin: unlike a cookie, it is not sent to other ports.
const NAME = "webdemo-key";
const given = /^#key=([\w-]+)$/.exec(location.hash);
let key = given ? given[1] : null;

try {
  if (key) localStorage.setItem(NAME, key);
  else key = localStorage.getItem(NAME);
} catch {
  // This browser allows no storage: only this tab has the key.
}
if (given) history.replaceState(null, "", location.pathname + location.search);
// The URL with the key, opened in a tab that already shows the page, does not load it again.
addEventListener("hashchange", () => location.hash.startsWith("#key=") && location.reload());

export const headers = key ? { "X-Webdemo-Key": key } : {};

// The problem that an unsuccessful response reports.
export async function problemOf(response) {
  try {
    return (await response.json()).problem;
  } catch {
    return `The dashboard responded with ${response.status}.`;
  }
}
