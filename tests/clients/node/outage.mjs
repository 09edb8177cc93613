// What both libraries tell an application while the store is away: a failure, and not the end of the session.
// They read OAuth errors out of 4xx only, so a 503 is "not conform" to them; the answer is the last cause.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as oauth from "oauth4webapi";
import * as client from "openid-client";
import { gateway, issuer } from "./gateway.mjs";

function isOutage(error) {
  assert.equal(error.code, oauth.RESPONSE_IS_NOT_CONFORM);
  let answer = error;
  while (!(answer instanceof Response)) answer = answer.cause;
  assert.equal(answer.status, 503);
  assert.ok(answer.headers.get("retry-after"));
  return true;
}

describe("while the store is away", { concurrency: true }, () => {
  test("openid-client", async () => {
    const config = await client.discovery(issuer, "web", undefined, client.None(), { algorithm: "oauth2" });
    await assert.rejects(client.refreshTokenGrant(config, gateway.refresh_token), isOutage);
  });

  test("oauth4webapi", async () => {
    const response = await oauth.discoveryRequest(issuer, { algorithm: "oauth2" });
    const as = await oauth.processDiscoveryResponse(issuer, response);
    const web = { client_id: "web" };
    const answer = await oauth.refreshTokenGrantRequest(as, web, oauth.None(), gateway.refresh_token);
    await assert.rejects(oauth.processRefreshTokenResponse(as, web, answer), isOutage);
  });
});
