#include "gateway/listener/listener.h"

#include "gateway/listener/fork_server.h"
#include "gateway/listener/warm_up.h"
#include "gateway/ssh/prepared_sessions.h"
#include "gateway/ssh/serve_session.h"

namespace sallyport::gateway {

int run_listener(Fd keeper_link) {
  ListenerHooks hooks;
  hooks.serve = serve_session;
  hooks.prepare = prepare_sessions;
  hooks.warm_up = warm_up;
#ifdef SALLYPORT_SANDBOX_TRACE
  hooks.on_forbidden = sandbox::OnForbidden::trap;
  hooks.keep_log = true;
#endif
  return run_listener_with(std::move(keeper_link), hooks);
}

}  // namespace sallyport::gateway
