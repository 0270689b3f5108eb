// policy/authority/directory_desk.h -- the directory (LDAP) as logins and decisions see it: passwords, and groups that are kept fresh.
//
// Every question runs on a worker, with the gateway's own password lent by the vault for this one time. Who is marked
// `directory: [groups]` is looked up when the gateway starts, every `directory.refresh`, and at each login by the directory's password;
// while the directory is away its last word counts for `directory.groups_last`.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "policy/authority/authority.h"
#include "policy/authority/directory_settings.h"
#include "policy/authority/factor_checks.h"

namespace sallyport::authority {

class DirectoryDesk {
 public:
  explicit DirectoryDesk(Authority& authority);
  ~DirectoryDesk();

  /// Takes the settings and begins to keep groups fresh. Wrong ones: nobody is let in by the directory, and the log says why.
  void open(const Settings& settings);
  void check(const std::string& name, Secret password, std::function<void(FactorChecks::Password)> done);

 private:
  struct Question;
  using QuestionPtr = std::shared_ptr<Question>;

  void refresh();
  void forget_strangers();
  void ask(const QuestionPtr& question);
  void on_answer(const QuestionPtr& question);
  void learn(const std::string& principal, const std::vector<std::string>& groups, std::function<void()> done);
  void failed(const std::string& principal, const Error& error, std::string_view code);

  Authority& authority_;
  Workers workers_;
  std::shared_ptr<const DirectorySettings> settings_;
  Deadlines::Handle refresh_ = 0;
  bool refreshing_ = false;
  bool away_ = false;  ///< said so already
  std::set<std::string> too_much_;  ///< of whom it was said that her groups are more than are read
};

}  // namespace sallyport::authority
