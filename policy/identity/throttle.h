// policy/identity/throttle.h -- slows down guessing without giving an attacker the power to lock anybody out.
//
// Failures count per source (one IPv4 address, one IPv6 /64) and per principal name, known or not. A source pays for its
// own failures with a delay. Failures against a principal slow down passwords and codes from sources from which that
// principal has never logged in; a known source is not touched by what others do. Keys and certificates cannot be
// guessed, so they only ever pay for their own source. Tables are bounded; when full, the entry that was quiet longest goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "platform/model/clock.h"
#include "platform/model/ip.h"

namespace sallyport::policy {

class Throttle {
 public:
  struct Limits {
    std::uint32_t free_failures = 3;           ///< of a source, before it is slowed down
    std::uint32_t free_principal_failures = 10;
    std::chrono::milliseconds first_delay{500};  ///< doubles with each further failure
    std::chrono::milliseconds longest_delay{10'000};
    std::chrono::minutes forget_after{15};     ///< without a failure
    std::chrono::hours known_for{24 * 90};     ///< a source stays known this long after its last login
    std::size_t entries = 65'536;
  };
  struct Verdict {
    bool evaluate = true;                 ///< false: refuse without looking at the password or code
    std::chrono::milliseconds delay{0};   ///< answer not before this
  };

  Throttle() : Throttle(Limits{}) {}
  explicit Throttle(Limits limits) : limits_(limits) {}

  /// Before a password or code is looked at. Claims the principal's next slot when it says `evaluate`.
  [[nodiscard]] Verdict ask_guessable(const IpAddress& source, std::string_view principal, BootTime now);
  /// Before a key or certificate is looked at: always evaluated, perhaps delayed.
  [[nodiscard]] Verdict ask_key(const IpAddress& source, BootTime now) const;
  /// `guessable` is false for keys: a wrong signature counts for its source only.
  void failed(const IpAddress& source, std::string_view principal, bool guessable, BootTime now);
  void succeeded(const IpAddress& source, std::string_view principal, BootTime now);

  [[nodiscard]] bool is_known(const IpAddress& source, std::string_view principal, BootTime now) const;
  /// Told at start from the database: this principal has logged in from there.
  void remember(const IpAddress& source, std::string_view principal, BootTime now);
  /// How long this source should wait, for the listener's penalties; zero when it has not failed.
  [[nodiscard]] std::chrono::milliseconds penalty(const IpAddress& source, BootTime now) const;

 private:
  struct Count {
    std::uint32_t failures = 0;
    BootTime last{};
    BootTime next_slot{};
  };
  /// A map that forgets its least recently touched entry when full.
  template <class Value>
  class Bounded {
   public:
    Value& touch(const std::string& key, std::size_t limit);
    [[nodiscard]] const Value* find(const std::string& key) const;
    void erase(const std::string& key);

   private:
    struct Entry {
      Value value;
      std::list<std::string>::iterator place;
    };
    std::unordered_map<std::string, Entry> entries_;
    std::list<std::string> order_;
  };

  [[nodiscard]] std::chrono::milliseconds delay_of(std::uint32_t failures, std::uint32_t free) const;
  [[nodiscard]] std::uint32_t failures_of(const Count* count, BootTime now) const;

  Limits limits_;
  Bounded<Count> sources_;
  Bounded<Count> principals_;
  Bounded<BootTime> known_;
};

/// The text under which a source is counted: the IPv4 address, or the IPv6 /64.
[[nodiscard]] std::string source_key(const IpAddress& source);

}  // namespace sallyport::policy
