// admin/sinks/request_news.h -- what happens to requests, told outside.
#pragma once

#include <memory>

#include "admin/sinks/notifier.h"
#include "platform/model/settings.h"
#include "policy/authority/administration.h"

namespace boost::asio {
class io_context;
}

namespace sallyport::admin {

/// Null when the settings name nobody to tell. Errc::invalid: a setting is wrong.
[[nodiscard]] Result<std::unique_ptr<Notifier>> tell_of_requests(boost::asio::io_context& io, authority::Administration& administration, const Settings& settings);

}  // namespace sallyport::admin
