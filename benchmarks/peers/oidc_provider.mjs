/**
 * oidc-provider with the memory it brings: client credentials for signed tokens, and introspection.
 *
 * With a `resource`, a token is a signed JWT; without one it is a reference, the only kind that it introspects. SETTINGS
 * names a file with the clients and the key, PORT says where to listen, PROCESSES how many processes do.
 */

import cluster from "node:cluster";
import { readFileSync } from "node:fs";
import { Provider } from "oidc-provider";

const processes = Number(process.env.PROCESSES);
if (cluster.isPrimary && processes > 1) {
  for (let number = 0; number < processes; number += 1) cluster.fork();
} else {
  const { issuer, clients, jwk, scope } = JSON.parse(readFileSync(process.env.SETTINGS, "utf8"));
  const provider = new Provider(issuer, {
    clients: clients.map((client) => ({
      ...client,
      scope,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    })),
    jwks: { keys: [jwk] },
    scopes: scope.split(" "),
    enabledJWA: { idTokenSigningAlgValues: ["ES256"] },
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    ttl: { ClientCredentials: 600 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          audience: issuer,
          scope,
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  });
  provider.listen(Number(process.env.PORT), "127.0.0.1");
}
