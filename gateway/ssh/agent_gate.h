// gateway/ssh/agent_gate.h -- lets a forwarded agent be asked for keys and signatures only, and tells of each signature.
#pragma once

#include "gateway/ssh/stream_filter.h"

namespace sallyport::gateway {

/// The "client" of the filter is the engineer's agent, the "target" asks (draft-miller-ssh-agent). Requests other than
/// list and sign are answered with failure here and never reach the agent.
class AgentGate final : public StreamFilter {
 public:
  explicit AgentGate(EventSink sink) : sink_(std::move(sink)) {}
  bool from_client(std::span<const std::byte> data, std::vector<std::byte>& forward, std::vector<std::byte>& back) override;
  bool from_target(std::span<const std::byte> data, std::vector<std::byte>& forward, std::vector<std::byte>& back) override;
  void finish() override {}
  [[nodiscard]] std::string_view error() const override { return error_; }

 private:
  EventSink sink_;
  std::vector<std::byte> held_;
  std::string error_;
};

}  // namespace sallyport::gateway
