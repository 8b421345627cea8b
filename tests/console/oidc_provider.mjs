/**
 * npm's oidc-provider with the pages for signing in that it brings, which take any password.
 *
 * Arguments: the library's address, the issuer, the client's metadata, and the people with their groups, both in JSON.
 */

const [library, issuer, client, people] = process.argv.slice(2);
const { default: Provider } = await import(library);
const groups = JSON.parse(people);

const provider = new Provider(issuer, {
  clients: [JSON.parse(client)],
  claims: { openid: ["sub"], profile: ["name"], groups: ["groups"] },
  cookies: { keys: ["one that signs the cookies of a test"] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `${id} of the provider`, groups: groups[id] ?? [] }),
  }),
});
provider.listen(Number(new URL(issuer).port), "127.0.0.1");
