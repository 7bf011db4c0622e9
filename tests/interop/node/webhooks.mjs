// usage: node webhooks.mjs verify SECRET HEADERS-AS-JSON BODY | sign SECRET ID BODY
// With the library of standardwebhooks.com: prints what was verified, or the three headers, as JSON.
import { Webhook } from "standardwebhooks";

const [act, secret, given, body] = process.argv.slice(2);
const webhook = new Webhook(secret);
if (act === "verify") {
  console.log(JSON.stringify(webhook.verify(body, JSON.parse(given))));
} else {
  const now = new Date();
  console.log(
    JSON.stringify({
      "webhook-id": given,
      "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
      "webhook-signature": webhook.sign(given, now, body),
    }),
  );
}
