// Passkeys: the browser's part. Bytes travel as base64url; the gateway checks everything.
import { call } from "./api";

interface Ask {
  challenge: string;
  host: string;
  principal: string;
  user?: string;
  verification: UserVerificationRequirement;
  ids: string[];
}

export interface Shown {
  id: string;
  client_data: string;
  authenticator_data: string;
  signature: string;
}

export const canPasskey = (): boolean => "credentials" in navigator && "PublicKeyCredential" in window;

function bytes(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

function text(buffer: ArrayBuffer): string {
  const letters = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const known = (ask: Ask): PublicKeyCredentialDescriptor[] => ask.ids.map((id) => ({ type: "public-key", id: bytes(id) }));

/** What the browser says when a person leaves its dialog is no fault of the page. */
function inWords(error: unknown): Error {
  if (!(error instanceof DOMException)) return error instanceof Error ? error : new Error(String(error));
  if (error.name === "NotAllowedError") return new Error("It was left or took too long, or no device here holds a passkey of yours. Try again.");
  if (error.name === "InvalidStateError") return new Error("This device holds a passkey of yours already.");
  if (error.name === "SecurityError") return new Error(`This page is not open at the address that passkeys are bound to: ${error.message}`);
  return new Error(error.message);
}

export async function makePasskey(name: string): Promise<string[]> {
  const ask = await call<Ask>("/v1/passkeys/challenge", { method: "POST", body: {} });
  let made: PublicKeyCredential | null;
  try {
    made = (await navigator.credentials.create({
      publicKey: {
        challenge: bytes(ask.challenge),
        rp: { id: ask.host, name: "Sallyport" },
        user: { id: bytes(ask.user ?? ""), name: ask.principal, displayName: ask.principal },
        pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
        excludeCredentials: known(ask),
        authenticatorSelection: { userVerification: ask.verification, residentKey: "discouraged" },
        attestation: "none",
        timeout: 120_000,
      },
    })) as PublicKeyCredential | null;
  } catch (error) {
    throw inWords(error);
  }
  if (!made) throw new Error("the browser made no passkey");
  const response = made.response as AuthenticatorAttestationResponse;
  const body = { name, client_data: text(response.clientDataJSON), authenticator_data: text(response.getAuthenticatorData()) };
  return (await call<{ recovery_codes: string[] }>("/v1/passkeys", { method: "POST", body })).recovery_codes;
}

/** Asks `path` what to sign, has it signed by a passkey, and hands it back there. */
export async function showPasskey<T>(path: string, body: Record<string, string> = {}): Promise<T> {
  const ask = await call<Ask>(path, { method: "POST", body });
  let shown: PublicKeyCredential | null;
  try {
    shown = (await navigator.credentials.get({
      publicKey: { challenge: bytes(ask.challenge), rpId: ask.host, allowCredentials: known(ask), userVerification: ask.verification, timeout: 120_000 },
    })) as PublicKeyCredential | null;
  } catch (error) {
    throw inWords(error);
  }
  if (!shown) throw new Error("the browser showed no passkey");
  const response = shown.response as AuthenticatorAssertionResponse;
  const proof: Shown = {
    id: text(shown.rawId),
    client_data: text(response.clientDataJSON),
    authenticator_data: text(response.authenticatorData),
    signature: text(response.signature),
  };
  return call<T>(path, { method: "POST", body: { ...body, ...proof } });
}
