// What proves that it is you: passkeys, ssh keys and one-time codes, made and removed by their owner.
import { useState } from "preact/hooks";

import type { WhoAmI } from "../types";
import { Page } from "../ui";
import { OneTimeCodes } from "./account/one_time_code";
import { SshKeys } from "./account/own_keys";
import { Passkeys } from "./account/passkeys";

export function Account({ who }: { who: WhoAmI }) {
  const name = who.principal ?? "";
  const [turn, setTurn] = useState(0); // a first passkey makes recovery codes
  return (
    <Page title="Account">
      <Passkeys name={name} onChanged={() => setTurn((now) => now + 1)} />
      <SshKeys name={name} />
      <OneTimeCodes key={turn} name={name} />
    </Page>
  );
}
