// provider.mjs PORT REDIRECT_URIS CERTIFICATE KEY ACCOUNTS: an OpenID provider for the tests, on the oidc-provider package.
// ACCOUNTS is a JSON file {name: {password, claims, amr}}, read at every use: a test changes who is in which group by writing it.
import { readFileSync } from "node:fs";
import https from "node:https";
import { Provider } from "oidc-provider";

const [port, redirects, certificate, key, accountsFile] = process.argv.slice(2);
const issuer = `https://localhost:${port}`;
const accounts = () => JSON.parse(readFileSync(accountsFile, "utf8"));
const page = redirects.split(",").map((uri) => new URL("/", uri).href);
const client = { client_id: "gateway", client_secret: "a throw-away secret of the tests", response_types: ["code"], redirect_uris: redirects.split(","), post_logout_redirect_uris: page };

const provider = new Provider(issuer, {
  clients: [{ ...client, grant_types: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"] }],
  findAccount: (_, id) => accounts()[id] && { accountId: id, claims: () => ({ sub: id, ...accounts()[id].claims }) },
  claims: { openid: ["sub", "preferred_username", "groups", "auth_time", "amr"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false,
  features: {
    devInteractions: { enabled: false },
    deviceFlow: {
      enabled: true,
      mask: "****-****",
      userCodeInputSource: (ctx, form, _out, error) => {
        ctx.body = `<!doctype html><title>Device</title>${form}<p>${error ? "wrong code" : ""}</p><button form="op.deviceInputForm">Continue</button>`;
      },
      userCodeConfirmSource: (ctx, form) => {
        ctx.body = `<!doctype html><title>Confirm</title>${form}<button form="op.deviceConfirmForm">Yes</button><button form="op.deviceConfirmForm" name="abort" value="yes">No</button>`;
      },
      successSource: (ctx) => {
        ctx.body = "<!doctype html><title>Done</title><p>You are signed in";
      },
    },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = `<!doctype html><title>Sign out</title>${form}<button form="op.logoutForm" name="logout" value="yes">Sign out here too</button>`;
      },
    },
  },
  cookies: { keys: ["one key of the tests"] },
  interactions: { url: (_, interaction) => `/sign-in/${interaction.uid}` },
  ttl: { AccessToken: 600, IdToken: 600, Session: 3600, Interaction: 600, Grant: 3600, DeviceCode: 600 },
});
// RFC 8628 section 3.5: who waits asks every 5 seconds, or as often as the answer says.
provider.use(async (ctx, next) => {
  await next();
  if (ctx.body?.device_code) ctx.body = { ...ctx.body, interval: 1 };
});
const protocol = provider.callback();

async function form(request) {
  let text = "";
  for await (const part of request) {
    text += part;
    if (text.length > 4096) throw new Error("too much");
  }
  return new URLSearchParams(text);
}

async function signIn(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name !== "login") {
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope ?? "openid");
    return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
  }
  if (request.method === "GET") {
    response.setHeader("content-type", "text/html; charset=utf-8");
    return response.end('<!doctype html><title>Provider</title><h1>The provider</h1><form method="post"><label>Account <input name="account"></label><label>Secret <input name="secret" type="password"></label><button>Go on</button></form>');
  }
  const given = await form(request);
  const account = accounts()[given.get("account")];
  if (!account || account.password !== given.get("secret")) {
    response.statusCode = 401;
    return response.end("wrong account or secret");
  }
  const login = { accountId: given.get("account"), amr: account.amr ?? ["pwd"] };
  return provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
}

https
  .createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
    if (!request.url.startsWith("/sign-in/")) return protocol(request, response);
    return signIn(request, response).catch((error) => {
      response.statusCode = 400;
      response.end(String(error.message));
    });
  })
  .listen(Number(port), "127.0.0.1");
