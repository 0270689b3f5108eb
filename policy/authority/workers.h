// policy/authority/workers.h -- threads for work that blocks: password hashes, name resolution.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace sallyport::authority {

/// Jobs run on the workers, what they give back runs on the loop. Threads are started when first needed.
class Workers {
 public:
  /// At most `threads` jobs run and `waiting` wait.
  Workers(boost::asio::io_context& io, std::size_t threads, std::size_t waiting);
  ~Workers();  ///< lets running jobs end, drops waiting ones
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// False when the queue is full; nothing is called then.
  bool post(std::function<void()> job, std::function<void()> done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sallyport::authority
