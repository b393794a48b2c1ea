// An OpenID provider on 127.0.0.1 for one client, which gets JWT access tokens for any audience that it names
// as the resource `urn:<audience>`. Usage: node provider.mjs <port> <client id> <client secret>

import { webcrypto } from "node:crypto";
globalThis.crypto ??= webcrypto; // node 18 has it, under another name
const { default: Provider } = await import("oidc-provider");

const [port, client_id, client_secret] = process.argv.slice(2);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id,
      client_secret,
      grant_types: ["client_credentials"],
      response_types: [],
      redirect_uris: [],
      id_token_signed_response_alg: "ES256",
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, resource) => ({
        audience: resource.replace(/^urn:/, ""),
        scope: "",
        accessTokenFormat: "jwt",
        accessTokenTTL: 300,
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
  jwks: { keys: [await signingKey()] },
});

async function signingKey() {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const { kty, crv, x, y, d } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  return { kty, crv, x, y, d, use: "sig", alg: "ES256", kid: "provider-1" };
}

provider.listen(Number(port), "127.0.0.1");
