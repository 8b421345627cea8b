/**
 * Better Auth with its API-key plugin, as its documentation sets it up on PostgreSQL: verify a key.
 *
 * The connection comes from libpq's variables, and PORT says where to listen. Its rate limit of ten requests a day for
 * each key is off, as it would refuse what is measured; that a key was used is still written each time, as it always is.
 */

import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import pg from "pg";

const auth = betterAuth({
  baseURL: `http://127.0.0.1:${process.env.PORT}`,
  secret: process.env.BETTER_AUTH_SECRET,
  database: new pg.Pool({ max: Number(process.env.POOL_SIZE) }),
  plugins: [apiKey({ rateLimit: { enabled: false } })],
  telemetry: { enabled: false },
  logger: { disabled: true }, // it misses its tables before they are made; a key that is refused is answered 401
});
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();

createServer(async (request, response) => {
  if (request.method !== "POST") {
    response.writeHead(404).end();
    return;
  }
  const { valid } = await auth.api.verifyApiKey({ body: JSON.parse(await text(request)) });
  response.writeHead(valid ? 200 : 401, { "Content-Type": "application/json" }).end(JSON.stringify({ valid }));
}).listen(Number(process.env.PORT), "127.0.0.1");
