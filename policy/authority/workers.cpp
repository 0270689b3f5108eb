#include "policy/authority/workers.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace sallyport::authority {

struct Workers::State {
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };

  explicit State(boost::asio::io_context& io_in) : io(io_in) {}

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stopping || !jobs.empty(); });
      if (stopping) return;
      Job job = std::move(jobs.front());
      jobs.pop_front();
      ++running;
      lock.unlock();
      job.work();
      job.work = nullptr;  // wipes what the job held, a password for example, on this side already
      boost::asio::post(io, std::move(job.done));
      lock.lock();
      --running;
    }
  }

  boost::asio::io_context& io;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Job> jobs;
  std::vector<std::thread> threads;
  std::size_t most_threads = 1;
  std::size_t most_waiting = 1;
  std::size_t running = 0;
  bool stopping = false;
};

Workers::Workers(boost::asio::io_context& io, std::size_t threads, std::size_t waiting) : state_(std::make_shared<State>(io)) {
  state_->most_threads = threads;
  state_->most_waiting = waiting;
}

Workers::~Workers() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

bool Workers::post(std::function<void()> job, std::function<void()> done) {
  const std::lock_guard lock(state_->mutex);
  if (state_->jobs.size() >= state_->most_waiting) return false;
  state_->jobs.push_back({std::move(job), std::move(done)});
  if (state_->threads.size() < state_->most_threads && state_->running + state_->jobs.size() > state_->threads.size())
    state_->threads.emplace_back([state = state_.get()] { state->run(); });
  state_->wake.notify_one();
  return true;
}

}  // namespace sallyport::authority
