// gateway/ssh/sftp_session.h -- one sftp subsystem as it passes. Behind make_sftp_gate(); nobody else includes it.
//
// Requests (sftp_requests.cpp) are judged before they go on; answers (sftp_answers.cpp) complete what is told of them.
// A request's answer is found by its id alone, so answers may come in any order.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/ssh/path_rules.h"
#include "gateway/ssh/sftp_files.h"
#include "gateway/ssh/sftp_pending.h"
#include "gateway/ssh/sftp_wire.h"
#include "gateway/ssh/stream_filter.h"
#include "platform/crypto/ssh_wire.h"

namespace sallyport::gateway::sftp {

class Session final : public StreamFilter {
 public:
  Session(FileRules rules, EventSink sink) : rules_(std::move(rules)), sink_(std::move(sink)) {}

  bool from_client(std::span<const std::byte> data, Bytes& forward, Bytes& back) override;
  bool from_target(std::span<const std::byte> data, Bytes& forward, Bytes& back) override;
  void finish() override;
  [[nodiscard]] std::string_view error() const override { return error_; }
  void replace_rules(const FileRules& rules) override;
  void decided(std::uint32_t act, bool granted, std::string_view said, Bytes& to_target, Bytes& to_client) override;

 private:
  enum class Flow { goes_on, pause, broken };
  struct Body {  // the contents of a WRITE or DATA that is passing
    bool forwards = false;
    std::uint32_t file = k_no_file;
    std::uint64_t offset = 0;
  };
  struct Request {
    std::uint32_t id = 0;
    std::uint8_t type = 0;
    std::span<const std::byte> packet;
    crypto::SshReader fields;
  };
  using Facts = std::unique_ptr<PathFacts>;

  // ---- requests
  bool read_client(std::span<const std::byte> data);
  Flow on_request(std::span<const std::byte> packet);
  Flow on_known_request(Request& request);
  Flow on_init(Request& request);
  Flow on_open(Request& request);
  Flow on_close(Request& request);
  Flow on_read(Request& request);
  Flow on_write(std::span<const std::byte> header);
  Flow on_handle_question(Request& request, std::string_view operation);
  Flow on_fsetstat(Request& request);
  Flow on_path_question(Request& request, std::string_view operation);
  Flow on_opendir(Request& request);
  Flow on_path_change(Request& request, std::string_view operation, bool has_attributes);
  Flow on_two_paths(Request& request, std::string_view operation);
  Flow on_extended(Request& request);
  Flow on_copy_data(Request& request);
  Flow on_unknown(Request& request, std::string_view name);
  /// False: the home directory must be asked for first.
  bool make_absolute(std::string_view path, std::string& absolute);
  Flow forward_request(const Request& request, Pending pending);
  Flow refuse(std::uint32_t id, std::uint32_t status, std::string_view code, std::string_view operation, std::string_view path,
              std::string_view other = {});
  void tell_person(std::string_view code, std::string_view text) const;
  Flow refuse_handle(std::uint32_t id);
  void cut(OpenFile& file, bool up, std::string_view code);
  void ask_home();

  // ---- what waits for a person (sftp_holds.cpp)
  struct Held {
    Bytes packet;
    std::string operation;
    std::string path;
    std::string other;
  };
  [[nodiscard]] bool must_wait(std::string_view path, policy::FileOperation operation) const;
  Flow hold(const Request& request, std::string_view operation, std::string path, std::string other = {});
  bool go_on_with_agreed();

  // ---- answers
  bool read_target(std::span<const std::byte> data);
  bool on_answer(std::span<const std::byte> packet);
  bool on_version(std::span<const std::byte> packet, crypto::SshReader& fields);
  bool on_data(std::span<const std::byte> header);
  bool on_body_end();
  bool on_handle(Pending& pending, std::string_view handle);
  void on_status(Pending& pending, std::uint32_t status);
  void on_names(Pending& pending, crypto::SshReader& fields);
  void on_attributes(Pending& pending, crypto::SshReader& fields);
  void tell_result(const Pending& pending, std::string_view result);
  void request_ended(std::uint32_t file);
  void tell_file(OpenFile& file);

  // ---- what both use
  bool broken(std::string_view how);
  Flow broken_flow(std::string_view how);
  void status_to_client(std::uint32_t id, std::uint32_t status, std::string_view text);
  void remember_size(std::string_view path, std::uint64_t size);
  void forget_size(std::string_view path);
  [[nodiscard]] std::optional<std::uint64_t> remembered_size(std::string_view path) const;

  std::map<std::uint32_t, Held> held_;     // by request id
  std::map<std::uint32_t, Held> agreed_;   // wait for the end of a WRITE that is passing
  bool is_agreed_ = false;                 // the request in hand is one that was agreed to
  PathRules rules_;
  EventSink sink_;
  std::string error_;
  Packets client_{k_write};
  Packets target_{k_data};
  Bytes* to_client_ = nullptr;
  Bytes* to_target_ = nullptr;
  Bytes waiting_;   // refusals that wait for the end of a DATA packet that is passing to the client
  Bytes paused_;    // the client's bytes while the home directory is asked for
  bool is_paused_ = false;
  bool init_seen_ = false;
  bool version_seen_ = false;
  bool is_openssh_ = false;  ///< the target announced extensions of OpenSSH
  std::string home_;
  bool home_unknown_ = false;  // asked for, and the target did not say
  PendingTable pending_;
  EvidenceBudget budget_;
  OpenFiles files_{budget_};
  std::size_t opens_in_flight_ = 0;
  Body write_body_;
  Body data_body_;
  std::array<std::pair<std::string, std::uint64_t>, 8> sizes_;  // what STAT said lately
  std::size_t next_size_ = 0;
  std::array<std::size_t, 32> looked_at_{};  // hashes of the last lookups that were told
  std::size_t next_looked_at_ = 0;
};

}  // namespace sallyport::gateway::sftp
