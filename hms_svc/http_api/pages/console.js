"use strict";
// Only the browser knows by which name and scheme the door is reached: a proxy may stand before it.
const terminal = document.getElementById("terminal");
const scheme = window.location.protocol === "https:" ? "wss:" : "ws:";
terminal.dataset.sessionWebsocketUrl = `${scheme}//${window.location.host}${terminal.dataset.socketPath}`;

// The keys are the console's without a click, also when the reader comes back to the page.
function takeKeys() {
  const keys = terminal.querySelector("textarea");
  if (keys) keys.focus();
  return Boolean(keys);
}
const watch = new MutationObserver(() => {
  if (takeKeys()) watch.disconnect();
});
watch.observe(terminal, { childList: true, subtree: true });
window.addEventListener("focus", takeKeys);
