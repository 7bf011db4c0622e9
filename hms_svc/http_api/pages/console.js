"use strict";
// Only the browser knows by which name and scheme the door is reached: a proxy may stand before it.
const terminal = document.getElementById("terminal");
const scheme = window.location.protocol === "https:" ? "wss:" : "ws:";
terminal.dataset.sessionWebsocketUrl = `${scheme}//${window.location.host}${terminal.dataset.socketPath}`;
