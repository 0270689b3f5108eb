#include "platform/model/messages.h"

#include <algorithm>
#include <array>

namespace sallyport {
namespace {

constexpr std::array k_messages = {
    // ---- login
    Message{"SP-1001", "login refused", "none of the proofs that you gave was accepted",
            "Check which key your client offers (ssh -v) and ask an administrator which keys are enrolled for you."},
    Message{"SP-1002", "too many login attempts", "this connection used up its attempts", "Offer fewer keys (IdentitiesOnly yes) and connect again."},
    Message{"SP-1003", "the user name changed during login", "one connection may log in one user only", "Connect again with the right user name."},
    Message{"SP-1004", "the second factor belongs to someone else", "all factors of a login must be of the same principal",
            "Log in again with your own factors."},
    Message{"SP-1005", "login took too long", "30 seconds are given to the first proof and 60 more to each further one",
            "Connect again and have your second factor at hand."},
    Message{"SP-1006", "the inner login is of another principal", "a jump must be proven by the same principal as the outer connection",
            "Use the same key for both hops, or connect with principal+account+target@gateway."},
    Message{"SP-1007", "a jump is proven by key or certificate", "passwords and 'none' are not accepted on an inner connection",
            "Let your agent offer the key that you used for the gateway."},
    Message{"SP-1008", "this login is locked", "an administrator has locked the principal", "Ask an administrator; the reason stands in the lock."},
    Message{"SP-1009", "this login has expired", "the principal's end date has passed", "Ask an administrator to extend it."},
    Message{"SP-1010", "login refused from this network", "the principal may log in from listed networks only",
            "Connect from one of its networks or ask an administrator to add yours."},
    Message{"SP-1011", "the user name is not understood", "it must be principal, principal+target or principal+account+target",
            "Write for example engineer+deploy+recs-1@gateway."},
    Message{"SP-1012", "the signature is not for this connection", "it was made over another session identifier",
            "Connect again; if it happens again tell your security team."},
    Message{"SP-1013", "login is not possible now", "the service that checks identities did not answer", "Try again in a minute."},
    // ---- policy
    Message{"SP-2001", "not permitted", "no role of yours allows it", "Ask an administrator for a role, or see what you may reach: ssh gateway ls."},
    Message{"SP-2002", "not permitted", "a role of yours denies it", "Ask an administrator which rule applies: sallyport explain."},
    Message{"SP-2003", "locked", "an administrator has locked the principal", "Ask an administrator; the reason stands in the lock."},
    Message{"SP-2004", "locked", "an administrator has locked the target", "Ask an administrator; the reason stands in the lock."},
    Message{"SP-2005", "locked", "an administrator has locked the account on this target", "Ask an administrator; the reason stands in the lock."},
    Message{"SP-2006", "a fresh second factor is needed", "the role asks for one and yours is missing or too old", "Log in again and give your second factor."},
    Message{"SP-2007", "not permitted at this hour", "the role is limited to certain days and hours", "Come back within the hours, or ask an administrator."},
    Message{"SP-2008", "not permitted from this network", "the role is limited to certain source networks", "Connect from a permitted network."},
    Message{"SP-2009", "this kind of channel is not permitted", "no role of yours allows it on this target", "See what you may do: ssh gateway whoami."},
    Message{"SP-2010", "this direction is not permitted", "no role of yours allows transfers this way",
            "Ask an administrator for up or down transfers on this target."},
    Message{"SP-2011", "this tunnel is not permitted", "the destination is not on the list of your role", "Ask an administrator to add host:port to the role."},
    Message{"SP-2012", "too many sessions", "the role limits how many you may have at once", "Close one of your sessions first."},
    Message{"SP-2013", "the session is over", "it reached the longest duration that the role allows", "Connect again if you still need access."},
    Message{"SP-2014", "the session is over", "it was idle for longer than the role allows", "Connect again."},
    Message{"SP-2015", "the session is over", "your access has ended or the policy has changed", "See what you may still reach: ssh gateway ls."},
    Message{"SP-2016", "the session is over", "an administrator ended it", "Ask an administrator."},
    Message{"SP-2017", "the command is not permitted", "a machine may run exactly the commands that are listed for it",
            "Compare the command with the machine's definition; every character counts."},
    Message{"SP-2018", "agent forwarding is not permitted", "it is off unless a role allows it",
            "Use a jump (ssh -J) instead; it needs no agent on the target."},
    Message{"SP-2019", "X11 is not permitted", "it is off unless a role allows it", "Ask an administrator."},
    Message{"SP-2020", "no such target for you", "it does not exist or no role of yours reaches it", "See what you may reach: ssh gateway ls."},
    Message{"SP-2021", "which account", "more than one account on this target is granted to you", "Name it: principal+account+target@gateway."},
    Message{"SP-2022", "your certificate does not permit this", "a critical option or a missing extension of it stands against it",
            "Ask for a certificate with the needed extension."},
    Message{"SP-2023", "this session has no target", "it serves ls, config, help, whoami, explain, the menu and jumps only",
            "Connect with principal+account+target@gateway."},
    Message{"SP-2024", "no policy is loaded", "the gateway has no valid policy and denies everything",
            "An administrator must apply one: sallyport apply -f dir."},
    Message{"SP-2025", "the outer session has ended", "a jump lives no longer than the connection that carries it", "Connect again."},
    Message{"SP-2026", "the grant has expired", "the binding's end date has passed", "Ask an administrator to extend it."},
    Message{"SP-2027", "this environment variable is not passed on", "no role of yours lists its name", "Ask an administrator to add it to the role's env."},
    // ---- target
    Message{"SP-3001", "the target does not answer", "no connection within 10 seconds", "Check that the target is up and that the gateway may reach it."},
    Message{"SP-3002", "the target refused the connection", "nothing listens on its SSH port", "Check sshd on the target."},
    Message{"SP-3003", "the target cannot be reached", "the network gave an error", "Check the target's address and the network between."},
    Message{"SP-3004", "the target's address cannot be resolved", "its name has no address", "Check the address in the target's definition."},
    Message{"SP-3005", "the target's address is not permitted", "it is a loopback, link-local or gateway address and the target's definition does not name it",
            "An administrator may list it under allow_networks of the target."},
    Message{"SP-3006", "the target's host key is wrong", "it is not one of the keys that are pinned for this target",
            "Do not go on; tell your security team. An administrator can compare the fingerprints."},
    Message{"SP-3007", "the target did not accept our credential", "none of the account's credentials worked",
            "An administrator must set the target up: sallyport target setup."},
    Message{"SP-3008", "the target speaks no usable SSH", "key exchange with it failed", "Check that the port belongs to a modern sshd."},
    Message{"SP-3009", "the target closed the connection", "it is gone or the network broke", "Connect again."},
    Message{"SP-3010", "no credential for this account", "the vault has none that is listed for it", "An administrator must put the secret into the vault."},
    Message{"SP-3011", "the vault is sealed", "it signs and lends nothing until it is unsealed", "An administrator must run sallyport vault unseal."},
    // ---- recording
    Message{"SP-4001", "no recording, no access", "the recorder does not answer",
            "Try again in a minute; an administrator sees the cause in sallyport status."},
    Message{"SP-4002", "no recording, no access", "the recorder has too little space left", "An administrator must make room in the journal's file system."},
    Message{"SP-4003", "the session ended because it could not be recorded", "writing the recording failed",
            "Connect again; an administrator sees the cause in sallyport status."},
    Message{"SP-4004", "no audit, no access", "the decision could not be written to the journal",
            "Try again in a minute; an administrator sees the cause in sallyport status."},
    Message{"SP-4005", "no recording, no access", "the vault gave no key for the recording", "An administrator must check that the vault is unsealed."},
    Message{"SP-4006", "the channel is over", "its output became more than can be recorded in full and the role wants every byte",
            "Move less at once, or use sftp."},
    // ---- object store
    Message{"SP-4101", "no recording, no access", "recordings do not reach the object store, and the spool is full",
            "An administrator sees the cause in sallyport status; sallyport doctor checks the store."},
    Message{"SP-4102", "no recording, no access", "the object store does not hold recordings as it must", "An administrator must run sallyport doctor."},
    // ---- gateway
    // ---- replay and search
    Message{"SP-4201", "not your own session", "a recording of oneself needs a second auditor",
            "Ask another auditor: sallyport consent SESSION --for YOU --reason '...'."},
    Message{"SP-4202", "what was typed is not for you", "input records need the admin right `input`",
            "Ask an administrator for the right, or look without input."},
    Message{"SP-4203", "nobody consents for herself", "a second auditor must be another person", "Ask another auditor."},
    Message{"SP-4204", "no search while the vault is sealed", "the key of the search index is in the vault", "Unseal the vault first: sallyport vault unseal."},
    Message{"SP-4205", "the search index is not readable", "its file is damaged, foreign or of a newer program",
            "Build it anew from the recordings: sallyport index --rebuild."},
    Message{"SP-4206", "the search index's database does not answer", "the PostgreSQL server is away, does not let us in, or shows a wrong certificate",
            "Look at the detail; sallyport doctor tries it. Recording goes on without it."},
    Message{"SP-4301", "the key was erased", "somebody with the right `retention` erased the key of this recording",
            "Nothing brings it back; `sallyport events --name recording.key_erased` says who and why."},
    Message{"SP-4302", "this key cannot be erased", "the wrapped key stands in the recording itself, which nobody can change",
            "Sessions recorded with `recording.keys: vault` can be erased."},
    Message{"SP-4303", "under legal hold", "the session is under legal hold", "Release it first: sallyport recording release SESSION --reason '...'."},
    Message{"SP-5000", "something went wrong in the gateway", "an internal error", "Tell an administrator the reference."},
    Message{"SP-5001", "too many connections", "the gateway's limit of unauthenticated connections is reached", "Try again in a minute."},
    Message{"SP-5002", "too many connections from your address", "the limit for one source is reached", "Close some, or wait a minute."},
    Message{"SP-5003", "please wait", "failed logins from your address are answered more slowly for a while", "Try again later."},
    Message{"SP-5004", "a part of the gateway is restarting", "it did not come back in time", "Connect again."},
    Message{"SP-5005", "the gateway is stopping", "an administrator stops or upgrades it", "Connect again."},
    Message{"SP-5006", "the session did not follow the protocol", "it asked for something that its state does not allow",
            "Connect again; if it happens again tell an administrator the reference."},
    Message{"SP-5007", "the vault does not answer", "a part of the gateway is restarting or sealed", "Try again in a minute."},
    Message{"SP-5008", "too many channels", "the limit for one session is reached", "Close some channels, or open a second connection."},
    // ---- files and tunnels
    Message{"SP-6001", "this path is not permitted", "no file rule of your role allows it", "Ask an administrator which paths your role reaches."},
    Message{"SP-6002", "this file operation is not permitted", "your role allows transfers but no changes here",
            "Ask an administrator for the right to change files."},
    Message{"SP-6003", "use sftp", "your role needs evidence for each file and this tool cannot give it", "Use sftp, or scp without -O."},
    Message{"SP-6004", "this rsync call is not permitted", "an option of it is unknown to the gateway or starts a daemon", "Use plain rsync options over ssh."},
    Message{"SP-6005", "onward SSH is not permitted through this tunnel", "the first bytes are an SSH connection to somewhere else",
            "Use ssh -J gateway target."},
    Message{"SP-6006", "the transfer was cut", "the policy changed while it ran", "See what you may still do: ssh gateway whoami."},
    Message{"SP-6007", "one command per channel", "this channel already runs a command or a shell", "Open another channel."},
    Message{"SP-6008", "the file is too large", "the role limits the size of one file", "Ask an administrator for another way."},
    // ---- admin and input
    Message{"SP-7001", "the input is not valid", "it does not follow the documented form", "Correct it at the place that is named."},
    Message{"SP-7002", "not found", "there is nothing of this name", "Check the spelling with sallyport get."},
    Message{"SP-7003", "not permitted", "you may not do this on the admin side", "Ask an administrator whose role names this right."},
    Message{"SP-7004", "conflict", "somebody else changed it meanwhile, or it exists already", "Read the present state and try again."},
    Message{"SP-7005", "a reason is needed", "this act is recorded together with its reason", "Give --reason \"...\"."},
    Message{"SP-7006", "the vault is sealed", "it must be unsealed first", "Run sallyport vault unseal."},
    Message{"SP-7007", "the passphrase is wrong", "it does not open the vault", "Try again; nothing was changed."},
    Message{"SP-7008", "the request is too large", "it is above the documented limit", "Send less at once."},
    Message{"SP-7009", "this is not how the API is used", "method, path or content type does not fit", "See docs/reference/admin-api.md."},
    Message{"SP-7010", "the service is not available", "a part of the gateway does not answer", "Try again; see sallyport status."},
    Message{"SP-7020", "who are you", "no valid token was shown", "Send Authorization: Bearer with a token: sallyport token create."},
    Message{"SP-7021", "it is another one now", "what If-Match names is not the present state", "Read it again and decide anew."},
    Message{"SP-7022", "say which state you change", "a change of this needs If-Match with the ETag that was read",
            "Read it first and send its ETag back in If-Match."},
    Message{"SP-7023", "too many requests", "the limit for one caller is reached", "Wait as long as Retry-After says."},
    // ---- verification
    Message{"SP-8001", "verification failed", "the recording or journal was changed", "Keep the files as they are and tell your security team."},
    Message{"SP-8002", "the session is incomplete", "it has no end entry",
            "It was cut by a crash, or its tail is missing; compare with an outside checkpoint."},
    Message{"SP-8003", "the journal is older than a checkpoint", "entries that were witnessed are missing",
            "Keep the files as they are and tell your security team."},
    Message{"SP-8004", "the database is older than the journal", "it was rolled back",
            "Restore the database of the same moment, or start with the documented override."},
    // ---- command guard
    Message{"SP-9001", "command denied", "a rule of your role forbids it", "See what it would run and which rule stopped it: sallyport guard check."},
    Message{"SP-9002", "confirm the command", "a rule of your role asks you to be sure", "Type it again to confirm, or leave it."},
    Message{"SP-9003", "command needs approval", "a rule of your role asks for a second person",
            "Ask for approval, or choose a command that your role may run alone."},
    Message{"SP-9004", "command cannot be read", "a part of it is hidden from the gateway", "Write the command out, so that it can be read."},
    Message{"SP-9005", "command not on the list", "only listed commands are permitted here", "Ask an administrator to list it."},
    Message{"SP-9006", "session ended by a rule", "a command was typed that ends the session", "Talk to your security team."},
    // ---- the guard in a terminal
    Message{"SP-9100", "the line was not run", "a rule of the command guard denies it", "Change the line, or ask an administrator for another way."},
    Message{"SP-9101", "this line needs a reason", "a rule of the command guard wants you to say why",
            "Type the reason and press Enter; Ctrl-C drops the line."},
    Message{"SP-9102", "the line was dropped", "no reason was given", "Type the line again."},
    Message{"SP-9103", "the line is held", "the target has not answered yet, so what stands on the screen is not certain",
            "Wait; the line goes on when it was read."},
    Message{"SP-9104", "the session was closed by the command guard", "a denied line could not be taken back", "Log in again."},
    Message{"SP-9105", "the line cannot be read with certainty", "the keys and the screen do not agree", "Type the line again, without editing keys."},
    Message{"SP-9106", "this line waits for a second person", "a rule of the command guard wants somebody to agree", "Wait, or press Ctrl-C to drop the line."},
    Message{"SP-9107", "the line was not run", "it needs the agreement of a second person, and there was none", "Ask for an approval first."},
    Message{"SP-9108", "the session was ended by the command guard", "a rule ends the session at such a line", "Talk to your security team."},
    Message{"SP-9109", "the command was not run", "a rule of the command guard denies it", "Change the command, or ask an administrator for another way."},
    Message{"SP-9110", "an onward connection is not permitted through this tunnel", "its first bytes are a protocol that your role may not forward",
            "Connect through the gateway: ssh -J gateway target."},
    Message{"SP-9111", "an onward connection was seen", "the screen shows a login at another host", "Connect through the gateway: ssh -J gateway target."},
    // ---- requests and approvals
    Message{"SP-9201", "this needs an approval", "the role that gives it is given on request only",
            "Ask for it: ssh gateway request TARGET --for 1h --reason \"...\", or connect on a terminal and wait."},
    Message{"SP-9202", "the request was denied", "an approver said no", "Read the reason; ask again with a better one, or ask the approver."},
    Message{"SP-9203", "the request has expired", "nobody decided in time", "Ask again when an approver is there."},
    Message{"SP-9204", "the request was cancelled", "nobody waits for it any more", "Ask again if you still need it."},
    Message{"SP-9205", "you may not decide this request", "only its approvers may, and never the one who asks", "Ask a member of the approvers' group."},
    Message{"SP-9206", "this request is decided already", "it waits no longer", "See it: ssh gateway requests."},
    Message{"SP-9207", "there is nothing to ask for", "no role on request would open this to you", "See what you may reach: ssh gateway ls."},
    Message{"SP-9208", "too many open requests", "the limit for one person is reached", "Cancel one: ssh gateway cancel ID."},
    // ---- signing on, enrolment
    Message{"SP-9301", "you are signed out", "the web session has ended or was never there", "Sign in again."},
    Message{"SP-9302", "this request did not come from the page", "its CSRF token is missing or wrong", "Reload the page and try again."},
    Message{"SP-9303", "a fresh factor is needed", "this act wants proof that is not older than a few minutes",
            "Give your one-time code or password again (POST /v1/session/factor), then repeat it."},
    Message{"SP-9304", "this login was given up", "it took too long, or it was answered already", "Begin again."},
    Message{"SP-9305", "the code is not right", "it is wrong, used already, or of another moment", "Wait for the next code and try again."},
    Message{"SP-9306", "the invite is not valid", "it is unknown, used or expired", "Ask an administrator for a new one: sallyport principal invite NAME."},
    Message{"SP-9307", "you may not enrol this yourself", "the policy does not say so for you",
            "Ask an administrator to add `enrol` to your entry in the policy."},
    Message{"SP-9308", "this needs a fresh factor", "your one-time code was given too long ago, or not at all",
            "Log in again with your one-time code and repeat it."},
    Message{"SP-9309", "no certificate for you", "the request for a login certificate cannot be met", "See docs/how-to/login-certificates.md."},
    Message{"SP-9310", "a security key is needed", "the role is for logins by a hardware token only", "Log in with your sk-ssh-ed25519 or sk-ecdsa key."},
    Message{"SP-9311", "the passkey is not accepted", "it is none of yours, its answer is not to what was asked, or it does not do what your policy wants",
            "Try again with the device that you enrolled; an administrator reads why in the audit log."},
    Message{"SP-9312", "there are no passkeys here", "the gateway does not know by which address its page is opened",
            "Use another factor or a recovery code; an administrator sets admin.origin in the configuration."},
    Message{"SP-9313", "this passkey may have been copied", "its counter went back since it was last used",
            "Do not use it again: sign in by another factor or a recovery code and remove it; an administrator was told."},
    Message{"SP-9314", "a passkey is made in the browser", "a token or a local account has no web session that proved a factor",
            "Sign in on the page with your name and open Account."},
    Message{"SP-9315", "keys and codes are changed by their owner", "a token or a local account has no web session that proved a factor",
            "Sign in on the page with your name and open Account, or write: ssh NAME@gateway keys."},
    Message{"SP-9320", "the directory does not answer", "your password is checked there and nobody can say now whether it is right",
            "Log in with your key, or try again in a minute; administrators see why in directory.failed."},

    Message{"SP-9401", "too many at once", "as many viewings, searches or browser terminals as the gateway allows are open",
            "Close one, or try again in a minute."},
    Message{"SP-9402", "there is no search index yet", "nobody has made one from the recordings",
            "Make it on the gateway: sallyport index --follow --reason '...'."},
    Message{"SP-9403", "this terminal is gone", "its session has ended, or nobody came back to it in time", "Open a new one."},
    Message{"SP-9404", "the browser terminal could not begin", "the gateway's session did not start or did not let it in",
            "Try again; the session's page and the audit log say why."},

    Message{"SP-9701", "the identity provider does not answer", "it could not be reached, was too slow, or is not what the configuration says",
            "Use another way to log in; an administrator finds out with sallyport doctor."},
    Message{"SP-9702", "the sign-on is not accepted", "what the identity provider sent did not pass the checks",
            "Sign on again; if it stays so, an administrator reads why in the audit log (sign_on.refused)."},
    Message{"SP-9703", "this identity is nobody here, or somebody else",
            "the identity provider names no principal of this gateway, or another one than the login",
            "Log in by the name that the identity provider gives you, or ask an administrator whether the policy has you."},
    Message{"SP-9704", "this sign-on was given up", "it took too long, was answered already, or was begun in another browser", "Begin again."},
    Message{"SP-9705", "the identity provider refused", "you said no there, or it does not let you in",
            "Sign on again, or ask who runs the identity provider."},
    Message{"SP-9706", "there is no single sign-on", "no identity provider is configured for this way of logging in",
            "Use another way to log in; docs/how-to/sign-on-oidc.md says how to set it up."},
    Message{"SP-9707", "too many sign-ons wait", "as many as the gateway allows have begun and not ended", "Try again in a few minutes."},
    // ---- a second person is present
    Message{"SP-9801", "a second person has to be present", "the role that gives it counts only while a moderator is there",
            "Ask one of them to join: ssh gateway join SESSION."},
    Message{"SP-9802", "you may not join this session", "only its moderators, or who may view and hold sessions, and never oneself",
            "Ask a member of the moderators' group."},
    Message{"SP-9803", "your moderator has left", "the role that gave this session needs one to be present", "Connect again when somebody is there to join."},
    Message{"SP-9804", "this is held until others agree, and cannot be asked for here", "the way it was asked for has no place to wait",
            "Use sftp, or scp without -O."},
    Message{"SP-9805", "the keyboard is not yours to take", "no role of that session lets its moderators take over",
            "Send a message instead, or ask for take_over in the policy."},
    // ---- break-glass
    Message{"SP-9901", "no envelope of yours opens by that name", "break-glass envelopes open for the person in them only",
            "See yours: ssh gateway glass list."},
    Message{"SP-9902", "the break-glass envelope is refused", "its signatures or what it says do not stand against the policy",
            "See why: sallyport glass drill ID; have another one made and signed."},
    Message{"SP-9903", "the break-glass envelope is not good now", "its time has passed or has not come", "Have another one made and signed."},
    Message{"SP-9904", "the break-glass envelope is spent", "it opens once, and was opened or revoked", "Have another one made and signed."},
    Message{"SP-9905", "these codes do not open the envelope", "it takes codes of as many different approvers as it says, and never your own",
            "Ask the approvers to read their codes again."},
    Message{"SP-9906", "too many wrong codes", "the envelope takes none for a while", "Wait as long as it says, then try again."},
    Message{"SP-9907", "only break-glass opens anything now", "the gateway runs without its database",
            "Open an envelope: ssh gateway glass list; an administrator finds out with sallyport doctor."},
    Message{"SP-9908", "the envelope wants your own key", "you came in by something else than a key that stands in it",
            "Connect with that key: ssh -i KEY -o IdentitiesOnly=yes."},
};

std::string_view digits_of(std::string_view code) noexcept {
  if (code.size() > 3 && (code[0] == 'S' || code[0] == 's') && (code[1] == 'P' || code[1] == 'p') && code[2] == '-')
    code.remove_prefix(3);
  return code;
}

}  // namespace

std::span<const Message> all_messages() noexcept { return k_messages; }

const Message* find_message(std::string_view code) noexcept {
  const std::string_view digits = digits_of(code);
  const auto found = std::find_if(k_messages.begin(), k_messages.end(),
                                  [&](const Message& message) { return digits_of(message.code) == digits; });
  return found == k_messages.end() ? nullptr : &*found;
}

const Message& message_of(std::string_view code) noexcept {
  const Message* found = find_message(code);
  if (found == nullptr) found = find_message("SP-5000");
  return *found;
}

Notice make_notice(std::string_view code, std::string_view why, std::string_view reference) {
  const Message& message = message_of(code);
  return Notice{std::string(message.code), std::string(message.what), std::string(why.empty() ? message.why : why),
                std::string(message.remedy), std::string(reference)};
}

std::string render(const Notice& notice) {
  std::string text = "sallyport: " + notice.code + " " + notice.what + " - " + notice.why + ". " + notice.remedy;
  if (!notice.reference.empty()) text += " (ref " + notice.reference + ")";
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f; }, '?');
  return text;
}

}  // namespace sallyport
