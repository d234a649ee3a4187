// The key of the run, with which this page may act. It comes behind the # of the URL that was printed, which
// browsers send to nobody, and is kept in the storage of this origin: unlike a cookie, no other port gets it.
const NAME = "webdemo-key";
const given = /^#key=([\w-]+)$/.exec(location.hash);
let key = given ? given[1] : null;

try {
  if (key) localStorage.setItem(NAME, key);
  else key = localStorage.getItem(NAME);
} catch {
  // No storage allowed: then this tab alone has the key.
}
if (given) history.replaceState(null, "", location.pathname + location.search);

export const headers = key ? { "X-Webdemo-Key": key } : {};

// What an answer that is none says, in words.
export async function problemOf(response) {
  try {
    return (await response.json()).problem;
  } catch {
    return `The dashboard answered ${response.status}.`;
  }
}
