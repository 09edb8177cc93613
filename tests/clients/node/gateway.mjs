// What the scripts know of the gateway, and sessions that its backend opens for them.

export const gateway = JSON.parse(process.env.GATEWAY);
export const issuer = new URL(gateway.issuer);
export const resource = new URL(gateway.resource);

const encoded = (text) => encodeURIComponent(text).replaceAll("%20", "+");

/** Open a session for alice, as a backend does that has authenticated her. */
export async function opened(client_id) {
  const answer = await fetch(new URL("/auth/sessions", issuer), {
    method: "POST",
    headers: {
      authorization: `Basic ${btoa(`backend:${encoded(gateway.secret)}`)}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ sub: "alice", client_id, scope: gateway.scope }),
  });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}
