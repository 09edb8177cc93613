// oauth4webapi: every answer is validated strictly.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as oauth from "oauth4webapi";
import { gateway, issuer, opened, resource } from "./gateway.mjs";

const as = await oauth
  .discoveryRequest(issuer, { algorithm: "oauth2" })
  .then((response) => oauth.processDiscoveryResponse(issuer, response));
const web = { client_id: "web" };
const svc = { client_id: "svc" };
const none = oauth.None();
const basic = oauth.ClientSecretBasic(gateway.secret);

async function refreshed(client, auth, token, options) {
  const response = await oauth.refreshTokenGrantRequest(as, client, auth, token, options);
  return oauth.processRefreshTokenResponse(as, client, response);
}

async function revoked(client, auth, token) {
  return oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token));
}

async function introspected(client, auth, token) {
  const response = await oauth.introspectionRequest(as, client, auth, token);
  return oauth.processIntrospectionResponse(as, client, response);
}

test("a client that starts at the resource finds the issuer", async () => {
  const found = await oauth
    .resourceDiscoveryRequest(resource)
    .then((response) => oauth.processResourceDiscoveryResponse(resource, response));
  assert.deepEqual(found.authorization_servers, [gateway.issuer]);
  assert.deepEqual(found.scopes_supported, gateway.scope.split(" "));
});

test("the metadata name what the gateway has", () => {
  assert.equal(as.issuer, gateway.issuer);
  assert.deepEqual(as.grant_types_supported, ["refresh_token"]);
  assert.deepEqual(as.token_endpoint_auth_methods_supported, ["client_secret_basic", "client_secret_post", "none"]);
});

for (const [client, auth] of [[web, none], [svc, basic], [svc, oauth.ClientSecretPost(gateway.secret)]]) {
  test(`${client.client_id} refreshes and repeats`, async () => {
    const old = await opened(client.client_id);
    const fresh = await refreshed(client, auth, old.refresh_token);
    const again = await refreshed(client, auth, old.refresh_token);
    assert.notEqual(fresh.refresh_token, old.refresh_token);
    assert.equal(again.refresh_token, fresh.refresh_token);
    assert.equal(again.access_token, fresh.access_token);
  });
}

test("an access token is what RFC 9068 says, by the published keys", async () => {
  const old = await opened("web");
  const { access_token } = await refreshed(web, none, old.refresh_token, {
    additionalParameters: { scope: "orders:read" },
  });
  const request = new Request(resource, { headers: { authorization: `Bearer ${access_token}` } });
  const claims = await oauth.validateJwtAccessToken(as, request, gateway.audience);
  assert.equal(claims.sub, "alice");
  assert.equal(claims.client_id, "web");
  assert.equal(claims.scope, "orders:read");
  await assert.rejects(oauth.validateJwtAccessToken(as, request.clone(), "https://other.example"));
});

test("what is revoked is refused everywhere", async () => {
  const old = await opened("svc");
  const fresh = await refreshed(svc, basic, old.refresh_token);
  const answer = await oauth.protectedResourceRequest(fresh.access_token, "GET", resource);
  assert.equal(answer.status, 200);
  for (const token of [fresh.access_token, fresh.refresh_token]) {
    assert.equal((await introspected(svc, basic, token)).active, true);
  }
  await revoked(svc, basic, fresh.refresh_token);
  await revoked(svc, basic, fresh.refresh_token);
  for (const token of [fresh.access_token, fresh.refresh_token]) {
    assert.equal((await introspected(svc, basic, token)).active, false);
  }
  await assert.rejects(oauth.protectedResourceRequest(fresh.access_token, "GET", resource), { status: 401 });
  await assert.rejects(refreshed(svc, basic, fresh.refresh_token), { error: "invalid_grant", status: 400 });
});

test("an access token alone can be revoked", async () => {
  const tokens = await opened("web");
  await revoked(web, none, tokens.access_token);
  await assert.rejects(oauth.protectedResourceRequest(tokens.access_token, "GET", resource), { status: 401 });
  assert.ok(await refreshed(web, none, tokens.refresh_token));
});

test("a resource server introspects what others were given", async () => {
  const tokens = await opened("web");
  const about = await introspected({ client_id: "api" }, basic, tokens.access_token);
  assert.equal(about.active, true);
  assert.equal(about.aud, gateway.audience);
});

test("somebody who is no client is told so", async () => {
  const { refresh_token } = await opened("web");
  await assert.rejects(refreshed({ client_id: "nobody" }, none, refresh_token), { status: 401 });
});
