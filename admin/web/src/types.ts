// What the REST API answers (docs/reference/admin-api.md), as far as the page shows it.
export interface Problem {
  title: string;
  status: number;
  code?: string;
  detail?: string;
  remedy?: string;
  errors?: { pointer?: string; file?: string; line?: number; column?: number; message: string }[];
}
export interface Status {
  state: string;
  node: string;
  live_sessions: number;
  unproven_connections: number;
  policy_version: number;
  policy_digest: string;
  locks: number;
  recorder: string;
  journal_sequence: number;
  journal_free_bytes: number;
  newest_checkpoint: string;
  vault: string;
  seal_source: string;
  recorder_waiting: number;
  store: string;
  guard_hits: number;
  denied: number;
  trouble?: string;
}
export interface Session {
  session: string;
  state: string;
  principal: string;
  target: string;
  account: string;
  peer: string;
  started: string;
  ended?: string;
  outer?: string;
  address?: string;
  factors?: string;
  key?: string;
  credential?: string;
  client_algorithms?: string;
  target_algorithms?: string;
  channels: number;
  bytes_in: number;
  bytes_out: number;
  held?: boolean; // somebody holds it: nothing of its client reaches the target
  waiting_for?: string; // kind of the request that its people wait for
  code?: string;
  outcome?: string;
  exit_code?: number;
  signal?: number;
  recorded?: string;
}
export interface AuditEvent {
  number: number;
  sequence: number;
  id: string;
  at: string;
  name: string;
  session: string;
  fields: Record<string, unknown> | null;
}
export interface Target {
  name: string;
  instance: string;
  address: string;
  port: number;
  labels: Record<string, string>;
  accounts: { name: string; [key: string]: unknown }[] | string[];
  host_keys: string[];
  host_cas: string[];
  durability: string;
}
export interface Principal {
  name: string;
  type: string;
  display: string;
  groups: string[];
  keys: string[];
  password: boolean;
  totp: string;
  networks: string[];
  commands: string[];
  expires: string;
}
export interface Lock {
  id: string;
  principal?: string;
  target?: string;
  account?: string;
  reason: string;
  by?: string;
  set?: string;
  created?: string;
  expires?: string;
}
export interface PolicyVersion {
  version: number;
  applied: string;
  by: string;
  reason: string;
  digest: string;
}
export interface PlanAnswer {
  text: string;
  no_changes: boolean;
  version: number;
  applied: boolean;
  plan: string; // names exactly this plan; applying with it is refused once it would be another one
  changes: { verb: string; kind: string; name: string; fields: string[] }[];
  access: { principal: string; target: string; account: string; gains: string; loses: string; conditions_changed: boolean }[];
  access_in_all: number;
  ending: { session: string; principal: string; target: string; account: string; code: string; why: string }[];
}
export interface Explanation {
  allowed?: boolean;
  code?: string;
  why?: string;
  rule?: string;
  text: string;
}
export interface Reachable {
  target: string;
  account: string;
  labels: Record<string, string>;
  second_factor: boolean;
  approval: boolean;
}
export interface WhoAmI {
  ssh: { host: string; port: string };
  name: string;
  principal: string;
  is_root: boolean;
  rights: string[];
}
export interface PasskeyRow {
  id: string;
  name: string;
  enrolled: string;
  used?: string;
}
export interface OwnKey {
  id: string;
  algorithm: string;
  fingerprint: string;
  comment: string;
  counts: boolean;
}
export interface OwnKeys {
  items: OwnKey[];
  in_policy: OwnKey[];
  may_enrol: boolean;
}
export interface OneTimeCode {
  enrolled: boolean;
  in_policy: boolean;
  may_enrol: boolean;
  recovery_codes: number;
}
export interface InviteRow {
  id: string;
  principal: string;
  by: string;
  expires: string;
}
export interface Vote {
  by: string;
  approve: boolean;
  reason: string;
  at: string;
}
export interface AccessRequest {
  id: string;
  state: string;
  kind: string;
  principal: string;
  role: string;
  target: string;
  account: string;
  text: string;
  reason: string;
  session: string;
  needed: number;
  created: string;
  decide_by: string;
  until: string;
  votes: Vote[];
}
export interface Token {
  id: string;
  principal: string;
  name: string;
  scopes: string[];
  networks: string[];
  by: string;
  created: string;
  expires: string;
}
export interface RecordedChannel {
  channel: number;
  kind: string;
  command: string;
  pty: boolean;
  exit: string;
  bytes_in: number;
  bytes_out: number;
  bytes_err: number;
}
export interface Viewing {
  id: string;
  zero: number; // microseconds of the gateway's boot clock at the first entry
  usual_channel: number;
  input: boolean;
  badge: { verified: boolean; signed?: boolean; entries?: number; proven: number; checkpoint_size?: number; checkpoint_origin?: string; outside?: string[]; text: string };
  recording: {
    session: string;
    principal: string;
    account: string;
    target: string;
    state: string;
    began: string;
    duration_ms: number;
    channels: RecordedChannel[];
  };
}
export interface SeenLine {
  b: number;
  c: number;
  command: boolean;
  status: number;
  text: string;
}
export interface Hit {
  at: string;
  session: string;
  principal: string;
  account: string;
  target: string;
  channel: number;
  command: boolean;
  line: string;
  offset_ms: number;
}
export interface OpenedTerminal {
  id: string;
  session: string;
  ticket: string;
}
