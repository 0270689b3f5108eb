#include "admin/api/paging.h"

#include <algorithm>
#include <boost/json.hpp>

#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"

namespace sallyport::admin {
namespace {

constexpr std::uint32_t k_most_rows = 10'000;

/// Numbers sort as numbers.
std::string key_of(const json::value& row, std::string_view key) {
  const json::value& value = row.at(key);
  if (value.is_string()) return std::string(std::string_view(value.get_string()));
  std::string digits = json::serialize(value);
  return std::string(digits.size() < 20 ? 20 - digits.size() : 0, '0') + digits;
}

}  // namespace

void reply_page(const CallPtr& call, std::string_view list, json::array rows, std::string_view key, Order order, json::object extra) {
  const std::uint32_t limit = call->limit(k_most_rows, k_most_rows);
  if (limit == 0) return;
  const auto before = [order](const std::string& a, const std::string& b) { return order == Order::rising ? a < b : b < a; };
  std::vector<std::pair<std::string, std::size_t>> places;
  for (std::size_t i = 0; i < rows.size(); ++i) places.emplace_back(key_of(rows[i], key), i);
  std::stable_sort(places.begin(), places.end(), [&](const auto& a, const auto& b) { return before(a.first, b.first); });
  auto at = places.begin();
  if (const std::string cursor = call->request.argument("cursor"); !cursor.empty()) {
    const auto last = crypto::from_base64url(cursor);
    if (!last || cursor.size() > 1024) return call->refuse(Error{Errc::invalid, "cursor is the `next` of the page before"});
    at = std::upper_bound(places.begin(), places.end(), std::string(sallyport::text_of(*last)), [&](const std::string& seen, const auto& place) { return before(seen, place.first); });
  }
  json::array page;
  std::string next;
  for (; at != places.end(); ++at) {
    if (page.size() == limit) {
      next = crypto::to_base64url(bytes_of(std::prev(at)->first));
      break;
    }
    page.push_back(std::move(rows[at->second]));
  }
  extra.emplace(list, std::move(page));
  extra.emplace("next", next);
  call->reply(std::move(extra));
}

}  // namespace sallyport::admin
