// admin/api/viewings.h -- recordings that somebody looks at through the API: one helper process for each viewing.
//
// A viewing is opened with a reason (an event of its own, by the right to view; input by a right of its own), belongs to who opened
// it, and ends when it was not used for ten minutes, when it is closed, or when the right to it ends. The bytes of a recording are
// proven by the helper and opened by the locked-in replay process behind it, never here.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "admin/api/call.h"
#include "admin/api/desk_process.h"
#include "platform/model/settings.h"

namespace sallyport::admin {

class Viewings {
 public:
  Viewings(authority::Administration& administration, const Settings& settings);
  ~Viewings();

  /// POST /v1/recordings/{session}/viewings
  void create(const CallPtr& call);
  /// /v1/viewings/{id} and what is below it
  void serve(const CallPtr& call);
  /// POST /v1/search
  void search(const CallPtr& call);

 private:
  struct Viewing;
  using ViewingPtr = std::shared_ptr<Viewing>;

  [[nodiscard]] json::object place() const;
  [[nodiscard]] ViewingPtr find(const Call& call, const std::string& id) const;
  void open(const CallPtr& call, const ViewingPtr& viewing, const std::string& reason, const std::string& answer);
  void stream(const CallPtr& call, const ViewingPtr& viewing, json::object job, std::string_view type);
  void touch(const ViewingPtr& viewing);
  void end(const std::string& id);

  authority::Administration& administration_;
  std::string state_dir_, run_dir_, ring_dir_;
  Settings search_;  ///< where the search index is, for the desk
  std::map<std::string, ViewingPtr> viewings_;
  std::map<std::string, std::unique_ptr<DeskProcess>> searches_;
};

/// The catalogue's code for a search that did not get its key or its database's password; empty: the usual one.
[[nodiscard]] std::string code_of_search(const Error& error);

}  // namespace sallyport::admin
