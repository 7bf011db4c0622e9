// A page of another origin in headless Chromium: posts a job, follows it in every way, and reads it.
// usage: node browser_page.mjs CHROMIUM PAGE API [TOKEN]; prints what the page saw, as JSON.
import puppeteer from "puppeteer-core";

const [chromium, page_address, api, token] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath: chromium,
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const page = await browser.newPage();
const console_lines = [];
page.on("console", (line) => console_lines.push(line.text()));
await page.goto(page_address);
const seen = await page.evaluate(session, api, token ?? "");
await browser.close();
console.log(JSON.stringify({ ...seen, console: console_lines }));

async function session(api, token) {
  const bearer = token ? { authorization: `Bearer ${token}` } : {};
  const job = { type: "drill.run", data: { seconds: 0.3 } };

  async function call(method, path, body, headers = {}) {
    const answer = await fetch(api + path, {
      method,
      headers: { ...bearer, ...headers, ...(body ? { "content-type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
    const text = await answer.text();
    return {
      status: answer.status,
      location: answer.headers.get("location"),
      replayed: answer.headers.get("idempotency-replayed"),
      body: text ? JSON.parse(text) : null,
    };
  }

  async function attempt(work) {
    try {
      return await work();
    } catch (error) {
      return { failed: `${error.name}: ${error.message}` };
    }
  }

  function followEventSource(address) {
    return new Promise((resolve) => {
      const kinds = [];
      const source = new EventSource(address);
      const note = (event) => {
        const kind = JSON.parse(event.data).kind;
        kinds.push(kind);
        if (kind === "end") { source.close(); resolve({ kinds }); }
      };
      source.onmessage = note;
      for (const kind of ["state", "progress", "log", "event", "gap", "end"]) source.addEventListener(kind, note);
      source.onerror = () => { source.close(); resolve({ failed: "error", kinds }); };
    });
  }

  async function followFetch(address) {
    const answer = await fetch(address, { headers: { ...bearer, accept: "text/event-stream" } });
    return { status: answer.status, ended: (await answer.text()).includes('"end"') };
  }

  function followWebSocket(address) {
    return new Promise((resolve) => {
      const kinds = [];
      const socket = new WebSocket(address, token ? ["hms-svc", `hms-bearer.${token}`] : ["hms-svc"]);
      socket.onmessage = (event) => kinds.push(JSON.parse(event.data).kind);
      socket.onclose = (event) => resolve({ code: event.code, kinds });
    });
  }

  const first = await attempt(() => call("POST", "/jobs", job, { "idempotency-key": "page-1" }));
  if (first.failed) return { first };
  const path = `/jobs/${first.body.id}`;
  const [events, socket, stream] = await Promise.all([
    token ? null : followEventSource(`${api}${path}/events`),
    followWebSocket(`${api.replace("http", "ws")}${path}/events`),
    attempt(() => followFetch(`${api}${path}/events`)),
  ]);
  return {
    first,
    again: await call("POST", "/jobs", job, { "idempotency-key": "page-1" }),
    events,
    socket,
    stream,
    read: await call("GET", path),
    wrong: await call("POST", "/jobs", { type: "drill.run", data: { seconds: "long" } }),
    absent: await call("GET", "/jobs/nothing-of-this-name"),
  };
}
