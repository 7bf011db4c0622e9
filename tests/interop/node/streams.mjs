// A Node program that follows a job with the packages ws and eventsource, with a bearer token.
// usage: node streams.mjs API TOKEN; prints what each told, as JSON.
import { EventSource } from "eventsource";
import WebSocket from "ws";

const [api, token] = process.argv.slice(2);
const bearer = { authorization: `Bearer ${token}` };
const kinds = ["state", "progress", "log", "event", "gap", "end"];

const posted = await fetch(`${api}/jobs`, {
  method: "POST",
  headers: { ...bearer, "content-type": "application/json" },
  body: JSON.stringify({ type: "drill.run", data: { seconds: 0.3 } }),
});
const path = posted.headers.get("location");

function followSocket() {
  return new Promise((resolve, reject) => {
    const seen = [];
    const socket = new WebSocket(`${api.replace("http", "ws")}${path}/events`, ["hms-svc"], { headers: bearer });
    socket.on("message", (text) => seen.push(JSON.parse(text).kind));
    socket.on("close", (code) => resolve({ code, last: seen.at(-1) }));
    socket.on("error", reject);
  });
}

// After the end it connects again by itself, and is told by 204 that there is nothing more.
function followEvents() {
  return new Promise((resolve) => {
    const seen = [];
    const statuses = [];
    const source = new EventSource(`${api}${path}/events`, {
      fetch: async (url, given) => {
        const answer = await fetch(url, { ...given, headers: { ...given.headers, ...bearer } });
        statuses.push(answer.status);
        return answer;
      },
    });
    for (const kind of kinds) source.addEventListener(kind, () => seen.push(kind));
    source.onmessage = (event) => seen.push(JSON.parse(event.data).kind);
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) resolve({ statuses, ends: seen.filter((kind) => kind === "end").length });
    };
  });
}

const awake = setInterval(() => {}, 1000); // eventsource does not keep the process while it waits to connect again
const [socket, events] = await Promise.all([followSocket(), followEvents()]);
clearInterval(awake);
console.log(JSON.stringify({ status: posted.status, socket, events }));
