// admin/api/paging.h -- a list in pages: ?limit= and ?cursor=, which is the `next` of the page before.
#pragma once

#include <boost/json/array.hpp>
#include <string_view>

#include "admin/api/call.h"

namespace sallyport::admin {

enum class Order { rising, falling };

/// Answers with {list: rows of this page, next: cursor or ""}. Rows are put into the order of their `key` (a text), so that a page goes
/// on at the right place although rows came and went meanwhile. `extra`: further members of the answer.
void reply_page(const CallPtr& call, std::string_view list, json::array rows, std::string_view key, Order order = Order::rising, json::object extra = {});

}  // namespace sallyport::admin
