// openid-client: what an application writes.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as client from "openid-client";
import { gateway, issuer, opened, resource } from "./gateway.mjs";

const oauth2 = { algorithm: "oauth2" };
const clients = {
  "a public client": () => client.discovery(issuer, "web", undefined, client.None(), oauth2),
  "a confidential client, by Basic": () =>
    client.discovery(issuer, "svc", gateway.secret, client.ClientSecretBasic(gateway.secret), oauth2),
  "a confidential client, in the body": () =>
    client.discovery(issuer, "svc", gateway.secret, client.ClientSecretPost(gateway.secret), oauth2),
};

for (const [name, discover] of Object.entries(clients)) {
  test(`${name} refreshes, repeats, uses and revokes`, async () => {
    const config = await discover();
    assert.equal(config.serverMetadata().issuer, gateway.issuer);
    const old = await opened(config.clientMetadata().client_id);

    const fresh = await client.refreshTokenGrant(config, old.refresh_token);
    assert.notEqual(fresh.refresh_token, old.refresh_token);
    assert.equal(fresh.token_type, "bearer");
    assert.equal(fresh.scope, gateway.scope);
    assert.ok(fresh.expiresIn() > 0 && fresh.expiresIn() <= 600);
    const again = await client.refreshTokenGrant(config, old.refresh_token);
    assert.equal(again.refresh_token, fresh.refresh_token);
    assert.equal(again.access_token, fresh.access_token);

    const answer = await client.fetchProtectedResource(config, fresh.access_token, resource, "GET");
    assert.equal(answer.status, 200);
    assert.equal((await answer.json())["x-user"], "alice");

    await client.tokenRevocation(config, fresh.refresh_token, { token_type_hint: "refresh_token" });
    await assert.rejects(client.refreshTokenGrant(config, fresh.refresh_token), {
      name: "ResponseBodyError",
      status: 400,
      error: "invalid_grant",
    });
    await assert.rejects(client.fetchProtectedResource(config, fresh.access_token, resource, "GET"), (error) => {
      assert.equal(error.name, "WWWAuthenticateChallengeError");
      const [challenge] = error.cause;
      assert.equal(challenge.scheme, "bearer");
      assert.equal(challenge.parameters.error, "invalid_token");
      return error.status === 401;
    });
  });
}

test("a client introspects its own tokens until they are revoked", async () => {
  const config = await clients["a confidential client, by Basic"]();
  const tokens = await opened("svc");
  for (const token of [tokens.access_token, tokens.refresh_token]) {
    const about = await client.tokenIntrospection(config, token);
    assert.equal(about.active, true);
    assert.equal(about.sub, "alice");
    assert.equal(about.client_id, "svc");
  }
  await client.tokenRevocation(config, tokens.refresh_token);
  for (const token of [tokens.access_token, tokens.refresh_token]) {
    assert.deepEqual(await client.tokenIntrospection(config, token), { active: false });
  }
});

test("less scope can be asked for, and more is refused", async () => {
  const config = await clients["a public client"]();
  const old = await opened("web");
  const narrow = await client.refreshTokenGrant(config, old.refresh_token, { scope: "orders:read" });
  assert.equal(narrow.scope, "orders:read");
  await assert.rejects(client.refreshTokenGrant(config, narrow.refresh_token, { scope: "orders:delete" }), {
    error: "invalid_scope",
  });
  assert.equal((await client.refreshTokenGrant(config, narrow.refresh_token)).scope, gateway.scope);
});

test("a wrong secret is told apart from a wrong token", async () => {
  const config = await client.discovery(issuer, "svc", "wrong", client.ClientSecretPost("wrong"), oauth2);
  const { refresh_token } = await opened("svc");
  await assert.rejects(client.refreshTokenGrant(config, refresh_token), (error) => {
    assert.equal(error.status, 401);
    return ["ResponseBodyError", "WWWAuthenticateChallengeError"].includes(error.name);
  });
});
