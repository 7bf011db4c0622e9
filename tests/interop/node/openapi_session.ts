// The session of a generated TypeScript client: hands in, follows, reads, acts, meets problems.
// usage: node openapi_session.js URL TOKEN, compiled beside schema.d.ts of openapi-typescript
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
type Answer<T> = { data?: T; error?: Schemas["Problem"] | string; response: Response };

function told<T>(answer: Answer<T>): T {
    if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
    return answer.data;
}

function problem<T>(answer: Answer<T>): Schemas["Problem"] {
    if (answer.error === undefined || typeof answer.error === "string") throw new Error(`no problem: ${answer.response.status}`);
    return answer.error;
}

function one<T>(found: T | T[]): T {
    if (Array.isArray(found)) throw new Error("an array");
    return found;
}

const [baseUrl = "", token = ""] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });
const anybody = createClient<paths>({ baseUrl });

const pothole: Schemas["JobRequest"] = {
    type: "pothole.report",
    data: { user_id: "usr-1", lat: 38.9, lon: -77.1 },
};
const params = { header: { "Idempotency-Key": "one" } };
const posted = await client.POST("/jobs", { body: pothole, params });
const again = await client.POST("/jobs", { body: pothole, params });
const first = one(told(posted));
const batch = told(
    await client.POST("/jobs", {
        body: [
            { type: "drill.run", data: { act: "succeed", seconds: 0, message: "hello" } },
            { type: "nobody.serves.this", data: { x: 1 }, not_before: "2999-01-01T00:00:00Z" },
        ],
    }),
);
if (!Array.isArray(batch) || batch[1] === undefined) throw new Error("an array was asked for");
const ofFirst = { path: { job_id: first.id } };
const ofWaiting = { path: { job_id: batch[1].id } };

const followed = await client.GET("/jobs/{job_id}/events", { params: ofFirst, parseAs: "stream" });
let stream = "";
for await (const piece of told(followed) ?? []) stream += new TextDecoder().decode(piece);

const detail = told(await client.GET("/jobs/{job_id}", { params: ofFirst }));
const listed = told(await client.GET("/jobs", { params: { query: { where: "state:completed" } } }));
const why = told(await client.GET("/jobs/{job_id}/why", { params: ofFirst }));
const found = told(
    await client.GET("/cases/{case_id}", { params: { path: { case_id: detail.case_id ?? "none" } } }),
);
const cancelled = told(
    await client.POST("/jobs/{job_id}/cancel", { params: ofWaiting, body: { note: "no" } }),
);
const state = told(await client.GET("/jobs/{job_id}", { params: ofWaiting })).state;
const retried = told(await client.POST("/jobs/{job_id}/retry", { params: ofWaiting }));
const plan = told(
    await client.POST("/jobs/acts", { body: { act: "cancel", where: `id:${batch[1].id}`, dry_run: true } }),
);
const event: Schemas["CloudEvent"] = {
    specversion: "1.0", id: "2", source: "/city", type: "x.y", data: { a: 1 },
};
const received = told(
    await client.POST("/envelopes", {
        body: event,
        headers: { "content-type": "application/cloudevents+json" },
    }),
);
const wrong = problem(
    await client.POST("/jobs", {
        body: { type: "pothole.report", data: { user_id: "usr-1", lat: 999, lon: -77 } },
    }),
);
const absent = problem(await client.GET("/jobs/{job_id}", { params: { path: { job_id: "nobody" } } }));
const unknown = problem(await anybody.GET("/jobs"));
const health = [
    told(await anybody.GET("/healthz", { parseAs: "text" })),
    told(await anybody.GET("/readyz", { parseAs: "text" })),
];

console.log(
    JSON.stringify({
        location: posted.response.headers.get("location") === `/jobs/${first.id}`,
        replayed: again.response.headers.get("idempotency-replayed"),
        again: one(told(again)).id === first.id,
        batch: batch.map((each) => each.type),
        ended: stream.includes("event: end"),
        state: detail.state,
        listed: listed.jobs.some((each) => each.id === first.id),
        case: found.job_id === first.id,
        why: why.why.length > 0,
        cancelled: [cancelled.done, state],
        retried: retried.done,
        planned: "dry_run" in plan && plan.jobs > 0,
        event: received.jobs[0]?.exists,
        wrong: [wrong.status, wrong.errors?.map((each) => each.field)],
        absent: [absent.status, absent.type],
        unknown: unknown.status,
        health,
    }),
);
