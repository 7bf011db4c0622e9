// The console in headless Chromium: whether keys reach it without a click.
// usage: node web_console.mjs CHROMIUM CONSOLE; prints what has the keys, and what a key sent to the server.
import puppeteer from "puppeteer-core";

const [chromium, address] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath: chromium,
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const page = await browser.newPage();
const devtools = await page.createCDPSession();
await devtools.send("Network.enable");
const sent = [];
devtools.on("Network.webSocketFrameSent", ({ response }) => sent.push(response.payloadData));
const received = new Promise((resolve) => devtools.once("Network.webSocketFrameReceived", resolve));
await page.goto(address);
await page.waitForSelector("textarea");
await received;
await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA", { timeout: 10000 });
await page.keyboard.press("3");
while (!sent.some((text) => text.includes('"3"'))) await new Promise((resolve) => setTimeout(resolve, 50));
await browser.close();
console.log(JSON.stringify({ sent }));
