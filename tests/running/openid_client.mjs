// openid-client against a running service: finds it, gets a token, asks about it, gives it up. Prints what it learned.
const [library, issuer, clientId, secret, jwk] = process.argv.slice(2);
const client = await import(library);

let authentication;
if (jwk) {
  const parsed = JSON.parse(jwk);
  const algorithm = parsed.kty === "OKP" ? { name: "Ed25519" } : { name: "ECDSA", namedCurve: "P-256" };
  const key = await crypto.subtle.importKey("jwk", parsed, algorithm, false, ["sign"]);
  authentication = client.PrivateKeyJwt({ key, kid: parsed.kid });
} else {
  authentication = client.ClientSecretBasic(secret);
}
const found = await client.discovery(new URL(issuer), clientId, {}, authentication, {
  algorithm: "oauth2",
  execute: [client.allowInsecureRequests],
});
const token = await client.clientCredentialsGrant(found, {});
const before = await client.tokenIntrospection(found, token.access_token);
await client.tokenRevocation(found, token.access_token);
const after = await client.tokenIntrospection(found, token.access_token);
console.log(JSON.stringify({ token, before, after }));
