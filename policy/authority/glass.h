// policy/authority/glass.h -- break-glass: envelopes that were signed in advance, opened once by their principal's own key and the codes of
// M approvers. They work when the database does not; they never work without the recorder, and every sink hears of them.
//
// An envelope is spent by an event in the journal, durable before anything is granted; the recorder remembers it (recorder/
// spent_envelopes.h), so that a folder put back from a backup revives nothing.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "policy/authority/acts.h"
#include "policy/authority/glass_folder.h"
#include "policy/authority/self_requests.h"
#include "policy/identity/envelope.h"

namespace sallyport::authority {

struct GlassRow {
  policy::Envelope envelope;
  std::string state;    ///< ready, early, expired, opened, over, revoked, refused
  std::string problem;  ///< refused: why
  std::vector<std::string> signed_by;
  std::int64_t spent_us = 0;
  std::int64_t until_us = 0;
};

struct GlassCheck {
  std::string what;
  bool ok = false;
  std::string detail;
};

struct GlassDrill {
  std::string envelope;
  std::vector<GlassCheck> checks;
  [[nodiscard]] bool ok() const;
};

/// For those who are told outside.
struct GlassNews {
  std::string event;  ///< glass.opened, glass.refused, glass.revoked, glass.drilled, database.unavailable
  std::string id;     ///< of this news
  std::string envelope;
  std::string principal;
  bool drill = false;
  std::string text;   ///< one sentence
};

class GlassDesk {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  using Reply = std::function<void(SelfText)>;

  explicit GlassDesk(Authority& authority) : authority_(authority) {}

  /// Reads `folder`; it need not exist.
  void load(const std::string& folder);
  void keep_policy(const PolicyVersion& version);
  void keep_locks();

  // The gateway runs without its database.
  /// From now on nothing but envelopes opens anything: policy and locks come from the folder. False: there is no copy to go by.
  [[nodiscard]] bool begin_alone(const std::string& why);
  /// Says so, once; when journal and sinks are there.
  void tell_alone();
  [[nodiscard]] bool is_alone() const noexcept { return alone_; }
  /// What the journal's refusal() says, but alone this principal may come in when an envelope is hers.
  [[nodiscard]] std::string refusal(std::string_view principal) const;

  // For the admin side.
  [[nodiscard]] std::vector<GlassRow> list() const;
  [[nodiscard]] Result<GlassRow> find(const std::string& id) const;
  /// Errc::denied: its signatures do not count; Errc::conflict: it is there, or was spent.
  void add(const Operator& who, const std::string& text, Done<GlassRow> done);
  void revoke(const Operator& who, const std::string& id, const std::string& reason, Done<GlassRow> done);
  /// Everything an opening looks at, but for codes: nothing is spent.
  void drill(const Operator& who, const std::string& id, Done<GlassDrill> done);

  /// `glass list | open ID CODE... | drill ID` of somebody who is logged in; false: another verb.
  bool ask(Session& session, const std::vector<std::string>& words, const Reply& reply);

  /// Null: no envelope has a say.
  [[nodiscard]] std::shared_ptr<const policy::GlassGrant> grant_of(const std::string& principal, const std::string& target, const std::string& account) const;

  std::function<void(const GlassNews&)> on_news;  ///< may be empty

 private:
  struct Kept {
    std::shared_ptr<const policy::SignedEnvelope> sealed;
    std::string problem;  ///< it cannot be read any more
    std::string spent;    ///< "", "opened", "revoked"
    GlassMark mark;
    unsigned wrong = 0;
    BootTime wait_until{};
    bool opening = false;
  };
  struct Opening;

  [[nodiscard]] GlassRow row_of(const std::string& id, const Kept& kept) const;
  [[nodiscard]] Kept* named(const std::string& word, const std::string& principal);
  void open(Session& session, const std::vector<std::string>& words, const Reply& reply);
  void refuse(const std::shared_ptr<Opening>& opening, std::string_view code, const std::string& why, bool alarm = true);
  void spend(const std::shared_ptr<Opening>& opening);
  void opened(const std::shared_ptr<Opening>& opening, const Appended& stored);
  void tell(GlassNews news);
  [[nodiscard]] std::string list_text(const std::string& principal) const;

  Authority& authority_;
  std::unique_ptr<GlassFolder> folder_;
  std::map<std::string, Kept> envelopes_;
  bool alone_ = false;
  std::string alone_why_;  ///< not told yet
};

}  // namespace sallyport::authority
